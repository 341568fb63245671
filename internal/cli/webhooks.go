package cli

import (
	"fmt"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject"
)

// RenderWebhooks makes the webhook configurations of some Injectors, for GitOps: without caBundle, which the operator
// writes, in the order of their names, and the same byte for byte each time. A revision leaves out the other Injectors'.
func RenderWebhooks(injectors []v1alpha1.Injector, revision string, op inject.Operator) ([]admissionregistrationv1.MutatingWebhookConfiguration, error) {
	owned, err := claims(injectors)
	if err != nil {
		return nil, err
	}
	var configurations []admissionregistrationv1.MutatingWebhookConfiguration
	var revisions []string
	for i := range injectors {
		inj := &injectors[i]
		revisions = append(revisions, inj.Spec.Revision)
		if revision == "" || revision == inj.Spec.Revision {
			configurations = append(configurations, inject.Webhooks(inj, namesOf(inj.Name, owned), op, nil)...)
		}
	}
	if len(configurations) == 0 {
		return nil, &Failure{
			What: fmt.Sprintf("rendering the webhooks of revision %q", revision),
			Why:  fmt.Errorf("no Injector has it; there is %s", strings.Join(revisions, ", ")),
			Try:  []string{"--revision " + revisions[0]},
		}
	}
	return configurations, nil
}

// Overwritten names the Injectors whose configurations the operator writes itself, so that nobody applies theirs in
// vain.
func Overwritten(injectors []v1alpha1.Injector, revision string) []string {
	var names []string
	for i := range injectors {
		if spec := &injectors[i].Spec; spec.Webhook.Mode == v1alpha1.WebhookManaged && (revision == "" || revision == spec.Revision) {
			names = append(names, injectors[i].Name)
		}
	}
	return names
}
