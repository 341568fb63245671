package injector

import (
	"context"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
)

// StateConfigMap remembers what the operator did once in this cluster.
const (
	StateConfigMap   = "pillion-state"
	keyDefaultExists = "default-injector" // the UID of the CRD under which the Injector "default" was made or found
)

// How often DefaultInjector looks: the CRD may be deleted and made again while this process runs.
const (
	defaultEvery = 10 * time.Second
	defaultRetry = time.Second
)

// DefaultInjector makes the Injector "default" where there never was one, so that an installation is complete with one
// `kubectl apply -k`: the same apply can't carry the CRD and an object of it. Who deletes it later means it; who deletes
// the CRD uninstalls, and what is installed after that begins anew.
type DefaultInjector struct {
	Client    client.Client
	Live      client.Reader
	CRD       func(ctx context.Context) (types.UID, error) // of Injectors, as it is now; "" without an error: there is none
	Namespace string
	Log       logr.Logger
}

const crdName = "injectors.pillion.dev"

// InjectorCRD reads which CRD of Injectors there is.
func InjectorCRD(live client.Reader) func(context.Context) (types.UID, error) {
	return func(ctx context.Context) (types.UID, error) {
		crd := &metav1.PartialObjectMetadata{}
		crd.SetGroupVersionKind(schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"})
		err := live.Get(ctx, client.ObjectKey{Name: crdName}, crd)
		return crd.UID, client.IgnoreNotFound(err)
	}
}

// Start implements manager.Runnable; only the leader runs it.
func (d DefaultInjector) Start(ctx context.Context) error {
	for {
		wait := defaultEvery
		if err := d.Ensure(ctx); err != nil && ctx.Err() == nil {
			d.Log.Error(err, "default Injector not made yet; will try again")
			wait = defaultRetry
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// Ensure makes it unless there is an Injector, or was one since the CRD was made.
func (d DefaultInjector) Ensure(ctx context.Context) error {
	crd, made, err := d.recall(ctx)
	if err != nil || made || crd == "" {
		return err
	}
	var list v1alpha1.InjectorList
	if err := d.Live.List(ctx, &list, client.Limit(1)); err != nil {
		return fmt.Errorf("listing Injectors: %w", err)
	}
	if len(list.Items) == 0 {
		if err := d.create(ctx); err != nil {
			return err
		}
	}
	return d.remember(ctx, crd)
}

// Made says whether it was made, or found, since the CRD was.
func (d DefaultInjector) Made(ctx context.Context) (bool, error) {
	_, made, err := d.recall(ctx)
	return made, err
}

func (d DefaultInjector) recall(ctx context.Context) (crd types.UID, made bool, err error) {
	crd, err = d.CRD(ctx)
	if err != nil {
		return "", false, fmt.Errorf("reading the CRD of Injectors: %w", err)
	}
	if crd == "" {
		return "", false, nil
	}
	state := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: StateConfigMap, Namespace: d.Namespace}}
	err = d.Live.Get(ctx, client.ObjectKeyFromObject(state), state)
	if client.IgnoreNotFound(err) != nil {
		return crd, false, fmt.Errorf("reading ConfigMap %s/%s: %w", d.Namespace, StateConfigMap, err)
	}
	return crd, state.Data[keyDefaultExists] == string(crd), nil
}

func (d DefaultInjector) create(ctx context.Context) error {
	inj := &v1alpha1.Injector{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.NameDefault}}
	v1alpha1.SetDefaults(inj)
	inj.Spec.Proxy.Resources = nil // ours to change in a later version, unless the user sets them
	if err := d.Client.Create(ctx, inj); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("making the Injector %q: %w", inj.Name, err)
	}
	d.Log.Info("made the Injector \"default\"; delete it if you don't want it, it won't come back")
	return nil
}

func (d DefaultInjector) remember(ctx context.Context, crd types.UID) error {
	cm := &corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: metav1.ObjectMeta{Name: StateConfigMap, Namespace: d.Namespace},
		Data:       map[string]string{keyDefaultExists: string(crd)},
	}
	if err := apply(ctx, d.Client, cm, "pillion-operator"); err != nil {
		return fmt.Errorf("writing ConfigMap %s/%s: %w", d.Namespace, StateConfigMap, err)
	}
	return nil
}
