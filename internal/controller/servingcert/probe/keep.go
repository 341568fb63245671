package probe

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// fieldManager is the configuration's.
const fieldManager = "pillion-probe"

// crdName is the CRD with which the configuration goes: what is uninstalled leaves no webhook behind.
const crdName = "injectors.pillion.dev"

// Keeper keeps the webhook configuration. It is for the leader.
type Keeper struct {
	Client client.Client
	Live   client.Reader                                // the operator's informer drops the caBundle of what isn't an Injector's
	CRD    func(ctx context.Context) (types.UID, error) // of Injectors; "" is none
	Log    logr.Logger
}

// Keep makes the API server's configuration what want is, unless it is already.
func (k *Keeper) Keep(ctx context.Context, want *admissionv1.MutatingWebhookConfiguration) error {
	for _, w := range want.Webhooks {
		if len(w.ClientConfig.CABundle) == 0 { // it would mean the API server's own roots
			return errors.New("the probe's webhook configuration isn't written: the serving certificate isn't ready")
		}
	}
	live := &admissionv1.MutatingWebhookConfiguration{}
	err := k.Live.Get(ctx, client.ObjectKeyFromObject(want), live)
	switch {
	case err == nil && same(want, live):
		return nil
	case err != nil && !apierrors.IsNotFound(err):
		return fmt.Errorf("reading webhook configuration %s: %w", want.Name, err)
	}
	if err := k.write(ctx, want); err != nil {
		return err
	}
	k.Log.Info("webhook configuration written", "configuration", want.Name)
	return nil
}

// same compares meaning: of labels and annotations, others may have added some.
func same(want, live *admissionv1.MutatingWebhookConfiguration) bool {
	return equality.Semantic.DeepEqual(want.Webhooks, live.Webhooks) &&
		includes(live.Labels, want.Labels) && includes(live.Annotations, want.Annotations)
}

func includes(all, some map[string]string) bool {
	for key, value := range some {
		if all[key] != value {
			return false
		}
	}
	return true
}

// write applies and, because an apply removes nothing that others added, replaces what still differs.
func (k *Keeper) write(ctx context.Context, want *admissionv1.MutatingWebhookConfiguration) error {
	owned := want.DeepCopy()
	uid, err := k.CRD(ctx)
	if err != nil {
		return fmt.Errorf("reading the CRD of Injectors: %w", err)
	}
	if uid != "" {
		owned.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apiextensions.k8s.io/v1", Kind: "CustomResourceDefinition", Name: crdName, UID: uid}}
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(owned)
	if err != nil {
		return fmt.Errorf("encoding webhook configuration %s: %w", want.Name, err)
	}
	u := &unstructured.Unstructured{Object: content}
	if err := k.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(u), client.FieldOwner(fieldManager), client.ForceOwnership); err != nil {
		return fmt.Errorf("applying webhook configuration %s: %w", want.Name, err)
	}
	got := &admissionv1.MutatingWebhookConfiguration{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, got); err != nil {
		return fmt.Errorf("reading webhook configuration %s: %w", want.Name, err)
	}
	if same(want, got) {
		return nil
	}
	got.Webhooks = owned.Webhooks
	if err := k.Client.Update(ctx, got, client.FieldOwner(fieldManager)); err != nil {
		return fmt.Errorf("replacing webhook configuration %s: %w", want.Name, err)
	}
	return nil
}

// Remove deletes the configuration of that name, if it is the probe's: for spec.certificates.probe Off.
func (k *Keeper) Remove(ctx context.Context, name string) error {
	live := &admissionv1.MutatingWebhookConfiguration{}
	err := k.Live.Get(ctx, client.ObjectKey{Name: name}, live)
	if apierrors.IsNotFound(err) || err == nil && live.Labels[labelComponent] != component {
		return nil
	}
	if err == nil {
		err = k.Client.Delete(ctx, live, client.Preconditions{UID: &live.UID})
	}
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting webhook configuration %s: %w", name, err)
	}
	return nil
}
