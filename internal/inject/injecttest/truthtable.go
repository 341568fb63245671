package injecttest

import (
	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/istio"
)

// Answers of the truth table: which Injector is called.
const (
	None    = ""       // none
	Default = "stable" // the Injector that is the default one
	Canary  = "canary" // the other
)

// Row is one combination of labels and the Injector it calls. A nil label is unset.
type Row struct {
	NamespaceInjection *string // istio-injection
	NamespaceRevision  *string // istio.io/rev
	PodInject          *string // sidecar.istio.io/inject
	PodRevision        *string // istio.io/rev
	Want               string  // under policy OptIn
	WantOptOut         string  // under policy OptOut of the default Injector
}

// NamespaceLabels are the row's labels of a namespace.
func (r *Row) NamespaceLabels() map[string]string {
	return labelsOf(istio.LabelInjection, r.NamespaceInjection, istio.LabelRevision, r.NamespaceRevision)
}

// PodLabels are the row's labels of a pod.
func (r *Row) PodLabels() map[string]string {
	return labelsOf(istio.LabelInject, r.PodInject, istio.LabelRevision, r.PodRevision)
}

func labelsOf(key1 string, value1 *string, key2 string, value2 *string) map[string]string {
	labels := map[string]string{}
	if value1 != nil {
		labels[key1] = *value1
	}
	if value2 != nil {
		labels[key2] = *value2
	}
	return labels
}

// Injectors are the two the table is about: the default one, of revision "default", and a canary.
func Injectors(policy v1alpha1.Policy) []v1alpha1.Injector {
	return []v1alpha1.Injector{
		Injector(Default, "default", func(s *v1alpha1.InjectorSpec) { s.Policy = policy }),
		Injector(Canary, "canary"),
	}
}

// Values the selectors mention, both spellings, and what they don't: unset, empty, another.
var (
	injections = []*string{nil, new("enabled"), new("disabled"), new(""), new("other")}
	revisions  = []*string{nil, new("default"), new("canary"), new("nobodys"), new("")}
	injects    = []*string{nil, new("true"), new("enabled"), new("false"), new("disabled"), new(""), new("other")}
)

// TruthTable is every combination of the values above. What is wanted is written down here as users read it, not
// derived from selectors.
func TruthTable() []Row {
	var rows []Row
	for _, injection := range injections {
		for _, nsRevision := range revisions {
			for _, inject := range injects {
				for _, podRevision := range revisions {
					row := Row{NamespaceInjection: injection, NamespaceRevision: nsRevision, PodInject: inject, PodRevision: podRevision}
					row.Want, row.WantOptOut = row.want()
					rows = append(rows, row)
				}
			}
		}
	}
	return rows
}

// want is the table of the documentation: the pod's own "no" wins, then the namespace's labels, then the pod's.
func (r *Row) want() (optIn, optOut string) {
	switch {
	case is(r.PodInject, "false", "disabled"):
		return None, None
	case is(r.NamespaceInjection, "enabled"):
		return Default, Default
	case r.NamespaceInjection != nil:
		return None, None
	case r.NamespaceRevision != nil:
		called := owner(*r.NamespaceRevision)
		return called, called
	case r.PodRevision != nil:
		called := owner(*r.PodRevision)
		return called, called
	case is(r.PodInject, "true", "enabled"):
		return Default, Default
	case r.PodInject == nil:
		return None, Default
	}
	return None, None
}

func is(label *string, values ...string) bool {
	for _, value := range values {
		if label != nil && *label == value {
			return true
		}
	}
	return false
}

func owner(revision string) string {
	switch revision {
	case "default":
		return Default
	case "canary":
		return Canary
	}
	return None
}
