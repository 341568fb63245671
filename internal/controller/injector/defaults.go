package injector

import (
	"context"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
)

// StateConfigMap remembers what the operator did once in this cluster.
const (
	StateConfigMap   = "pillion-state"
	keyDefaultExists = "default-injector" // set once the Injector "default" was made or found
)

// DefaultInjector makes the Injector "default" in a cluster that never had one, so that an installation is complete
// with one `kubectl apply -k`: the same apply can't carry the CRD and an object of it. Who deletes it later means it.
type DefaultInjector struct {
	Client    client.Client
	Live      client.Reader
	Namespace string
	Log       logr.Logger
}

// Start implements manager.Runnable; only the leader runs it.
func (d DefaultInjector) Start(ctx context.Context) error {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		err := d.Ensure(ctx)
		if err == nil {
			return nil
		}
		d.Log.Error(err, "default Injector not made yet; will try again")
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// Ensure makes it unless this cluster has, or had, one.
func (d DefaultInjector) Ensure(ctx context.Context) error {
	state := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: StateConfigMap, Namespace: d.Namespace}}
	err := d.Live.Get(ctx, client.ObjectKeyFromObject(state), state)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("reading ConfigMap %s/%s: %w", d.Namespace, StateConfigMap, err)
	}
	if state.Data[keyDefaultExists] != "" {
		return nil
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
	return d.remember(ctx)
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

func (d DefaultInjector) remember(ctx context.Context) error {
	cm := &corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: metav1.ObjectMeta{Name: StateConfigMap, Namespace: d.Namespace},
		Data:       map[string]string{keyDefaultExists: "made"},
	}
	if err := apply(ctx, d.Client, cm, "pillion-operator"); err != nil {
		return fmt.Errorf("writing ConfigMap %s/%s: %w", d.Namespace, StateConfigMap, err)
	}
	return nil
}
