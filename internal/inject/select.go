package inject

import (
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
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
func Select(configs []admissionregistrationv1.MutatingWebhookConfiguration, ns Namespace, pod map[string]string) []Match {
	return compileEntries(configs).selected(ns, labels.Set(pod))
}

// compiled is a webhook entry, its selectors parsed.
type compiled struct {
	Match
	namespaces, pods labels.Selector
}

type entryList []compiled

func compileEntries(configs []admissionregistrationv1.MutatingWebhookConfiguration) entryList {
	var all entryList
	for i := range configs {
		for j := range configs[i].Webhooks {
			w := &configs[i].Webhooks[j]
			all = append(all, compiled{match(&configs[i], w.Name), parsed(w.NamespaceSelector), parsed(w.ObjectSelector)})
		}
	}
	return all
}

// parsed follows the API: no selector selects everything.
func parsed(selector *metav1.LabelSelector) labels.Selector {
	if selector == nil {
		return labels.Everything()
	}
	s, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return labels.Nothing()
	}
	return s
}

func (e entryList) selected(ns Namespace, pod labels.Labels) []Match {
	var matches []Match
	set := ns.set()
	for i := range e {
		if e[i].namespaces.Matches(set) && e[i].pods.Matches(pod) {
			matches = append(matches, e[i].Match)
		}
	}
	return matches
}

// set are the labels the API server sees: it gives every namespace one with its name.
func (n *Namespace) set() labels.Set {
	if n.Name == "" || n.Labels[corev1.LabelMetadataName] == n.Name {
		return n.Labels
	}
	return labels.Merge(n.Labels, labels.Set{corev1.LabelMetadataName: n.Name})
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
