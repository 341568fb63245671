package injector

import (
	"context"
	"fmt"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject"
)

// validationSuffix follows the Service's name: operators with Services of their own each judge what they serve.
const validationSuffix = "-injector-validation"

// ValidationName is the ValidatingWebhookConfiguration by which an operator is asked about Injectors.
func ValidationName(service string) string { return service + validationSuffix }

// validation renders it. Failure is ignored: without an operator, Injectors must be writable all the same.
func validation(op inject.Operator, path string, caBundle []byte) *admissionv1.ValidatingWebhookConfiguration {
	return &admissionv1.ValidatingWebhookConfiguration{
		TypeMeta: metav1.TypeMeta{APIVersion: "admissionregistration.k8s.io/v1", Kind: "ValidatingWebhookConfiguration"},
		ObjectMeta: metav1.ObjectMeta{Name: ValidationName(op.Service),
			Labels: map[string]string{"app.kubernetes.io/name": "pillion"}},
		Webhooks: []admissionv1.ValidatingWebhook{{
			Name: "injector.validation.pillion.dev",
			ClientConfig: admissionv1.WebhookClientConfig{CABundle: caBundle, Service: &admissionv1.ServiceReference{
				Name: op.Service, Namespace: op.Namespace, Port: new(op.ServicePort), Path: &path}},
			Rules: []admissionv1.RuleWithOperations{{
				Operations: []admissionv1.OperationType{admissionv1.Create, admissionv1.Update},
				Rule: admissionv1.Rule{APIGroups: []string{v1alpha1.GroupVersion.Group}, APIVersions: []string{v1alpha1.GroupVersion.Version},
					Resources: []string{"injectors"}, Scope: new(admissionv1.ClusterScope)},
			}},
			FailurePolicy:           new(admissionv1.Ignore),
			MatchPolicy:             new(admissionv1.Equivalent),
			NamespaceSelector:       &metav1.LabelSelector{},
			ObjectSelector:          &metav1.LabelSelector{},
			SideEffects:             new(admissionv1.SideEffectClassNone),
			TimeoutSeconds:          new(int32(5)),
			AdmissionReviewVersions: []string{"v1"},
		}},
	}
}

// keepValidation keeps that configuration as rendered. It belongs to the CRD and goes with it.
func (c *Controller) keepValidation(ctx context.Context, p *pass) error {
	if c.ValidationPath == "" {
		return nil
	}
	bundle := c.Bundle()
	if len(bundle) == 0 { // perhaps only just now, when the rest of this pass had one: a rotation waits for this entry too
		p.lookAgainIn(time.Second)
		return nil
	}
	want := validation(c.Operator, c.ValidationPath, bundle)
	live := &admissionv1.ValidatingWebhookConfiguration{}
	err := c.Client.Get(ctx, client.ObjectKeyFromObject(want), live)
	switch {
	case err == nil && sameValidation(want, live):
		return nil
	case err != nil && !apierrors.IsNotFound(err):
		return fmt.Errorf("reading webhook configuration %s: %w", want.Name, err)
	}
	if c.applied[want.Name] == string(bundle) { // somebody else changed it; another caBundle is our own news and waits for nothing
		if wait := c.limiter.wait(want.Name, c.Now()); wait > 0 {
			p.lookAgainIn(wait)
			return nil
		}
		c.limiter.repaired(want.Name, c.Now())
	}
	crd, err := c.CRD(ctx)
	if err != nil {
		return fmt.Errorf("reading the CRD of Injectors: %w", err)
	}
	want.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apiextensions.k8s.io/v1", Kind: "CustomResourceDefinition", Name: crdName, UID: crd}}
	if err := apply(ctx, c.Client, want, "pillion-operator"); err != nil {
		return fmt.Errorf("applying webhook configuration %s: %w", want.Name, err)
	}
	c.applied[want.Name] = string(bundle)
	c.Log.Info("webhook configuration written", "configuration", want.Name)
	return nil
}

// sameValidation compares meaning, as compare does: entry by entry.
func sameValidation(want, live *admissionv1.ValidatingWebhookConfiguration) bool {
	if len(live.Webhooks) != len(want.Webhooks) {
		return false
	}
	for i := range want.Webhooks {
		w, l := asMutating(&want.Webhooks[i]), asMutating(&live.Webhooks[i])
		if w.Name != l.Name || len(compareEntry(normal(w), normal(l))) > 0 {
			return false
		}
	}
	return true
}

// asMutating is the same entry, of the kind that has one field more.
func asMutating(w *admissionv1.ValidatingWebhook) *admissionv1.MutatingWebhook {
	return &admissionv1.MutatingWebhook{
		Name: w.Name, ClientConfig: w.ClientConfig, Rules: w.Rules, FailurePolicy: w.FailurePolicy, MatchPolicy: w.MatchPolicy,
		NamespaceSelector: w.NamespaceSelector, ObjectSelector: w.ObjectSelector, SideEffects: w.SideEffects,
		TimeoutSeconds: w.TimeoutSeconds, AdmissionReviewVersions: w.AdmissionReviewVersions, MatchConditions: w.MatchConditions,
	}
}
