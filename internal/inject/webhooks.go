package inject

import (
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
)

// Refused is a name an Injector wanted but another one owns.
type Refused struct {
	Injector string
	Name     string
	Owner    string // the Injector that has it
}

// Claims decides which Injector owns which name: the oldest wins, then the first by name.
func Claims(injectors []v1alpha1.Injector) (owned map[string]string, refused []Refused) {
	return nil, nil
}

// Webhooks renders one configuration for each name, the same byte for byte for the same input. caBundle must not be
// empty.
func Webhooks(inj *v1alpha1.Injector, names []string, op Operator, caBundle []byte) []admissionregistrationv1.MutatingWebhookConfiguration {
	return nil
}

// Match is one webhook entry that would be called.
type Match struct {
	Configuration string `json:"configuration"` // of the MutatingWebhookConfiguration
	Injector      string `json:"injector"`
	Name          string `json:"name"`  // revision, tag or "default"
	Entry         string `json:"entry"` // rev.namespace, rev.object, namespace, object, auto
}

// Select evaluates the selectors of rendered configurations as the API server does and returns every entry that
// matches. Of our own there is at most one.
func Select(configs []admissionregistrationv1.MutatingWebhookConfiguration, ns Namespace, podLabels map[string]string) []Match {
	return nil
}
