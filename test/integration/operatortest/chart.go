package operatortest

import (
	"context"
	"encoding/json"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject"
)

// Chart is what a GitOps tool holds: the webhook configuration of the Injector "default" as rendered, without a
// caBundle.
func (e *Env) Chart(change ...func(*admissionv1.MutatingWebhookConfiguration)) *unstructured.Unstructured {
	e.T.Helper()
	inj := &v1alpha1.Injector{}
	Must(e.T, e.Client.Get(e.Ctx(), client.ObjectKey{Name: "default"}, inj))
	op := inject.Operator{Namespace: e.Namespace, Service: "pillion", ServicePort: 443}
	c := inject.Webhooks(inj, []string{"default"}, op, nil)[0]
	for _, do := range change {
		do(&c)
	}
	text, err := json.Marshal(&c)
	Must(e.T, err)
	u := &unstructured.Unstructured{}
	Must(e.T, json.Unmarshal(text, u))
	return u
}

// Sync is one round of the GitOps tool: it applies what it holds, and doesn't force.
func (e *Env) Sync(ctx context.Context, held *unstructured.Unstructured) error {
	return e.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(held.DeepCopy()), client.FieldOwner("gitops"))
}
