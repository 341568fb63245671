package inject

import (
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/pillion-mesh/pillion/internal/istio"
)

// Match is one webhook entry that would be called.
type Match struct {
	Configuration string `json:"configuration"` // of the MutatingWebhookConfiguration
	Injector      string `json:"injector"`
	Name          string `json:"name"`  // revision, tag or "default"
	Entry         string `json:"entry"` // rev.namespace, rev.object, namespace, object, auto
}

// Select evaluates the selectors of rendered configurations as the API server does and returns every entry that
// matches. Of our own there is at most one. A selector that doesn't parse matches nothing: the API server wouldn't have
// taken it.
func Select(configs []admissionregistrationv1.MutatingWebhookConfiguration, ns Namespace, podLabels map[string]string) []Match {
	var matches []Match
	for _, e := range Evaluate(configs, ns, podLabels) {
		if e.Selected() {
			matches = append(matches, e.Match)
		}
	}
	return matches
}

// selects follows the API: no selector selects everything.
func selects(selector *metav1.LabelSelector, set labels.Set) bool {
	if selector == nil {
		return true
	}
	s, err := metav1.LabelSelectorAsSelector(selector)
	return err == nil && s.Matches(set)
}

func match(c *admissionregistrationv1.MutatingWebhookConfiguration, webhook string) Match {
	name := c.Labels[istio.LabelTag]
	if name == "" {
		name = c.Labels[istio.LabelRevision]
	}
	return Match{
		Configuration: c.Name,
		Injector:      c.Labels[LabelInjector],
		Name:          name,
		Entry:         strings.TrimSuffix(webhook, entrySuffix),
	}
}
