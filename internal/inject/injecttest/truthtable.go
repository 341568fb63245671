package injecttest

import (
	"maps"
	"slices"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/istio"
)

// None is the Injector of a pod that no webhook is called for.
const None = ""

// Row is one combination of labels. A nil label is unset.
type Row struct {
	NamespaceInjection *string           // istio-injection
	NamespaceRevision  *string           // istio.io/rev
	PodInject          *string           // sidecar.istio.io/inject
	PodRevision        *string           // istio.io/rev
	Others             map[string]string // more labels of the pod
	Called             string            // the Injector whose webhook is called
	Injected           bool              // and whether it injects
}

// NamespaceLabels are the row's labels of a namespace.
func (r *Row) NamespaceLabels() map[string]string {
	return labelsOf(istio.LabelInjection, r.NamespaceInjection, istio.LabelRevision, r.NamespaceRevision)
}

// PodLabels are the row's labels of a pod.
func (r *Row) PodLabels() map[string]string {
	labels := labelsOf(istio.LabelInject, r.PodInject, istio.LabelRevision, r.PodRevision)
	maps.Copy(labels, r.Others)
	return labels
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

// Values the selectors mention, both spellings, and what they don't: unset, empty, another.
var (
	injections = []*string{nil, new("enabled"), new("disabled"), new(""), new("other")}
	injects    = []*string{nil, new("true"), new("enabled"), new("false"), new("disabled"), new(""), new("other")}
)

// revisions are the values of istio.io/rev that can matter.
func (w *World) revisions() []*string {
	all := []*string{nil, new(""), new("nobodys")}
	for _, name := range w.Names() {
		all = append(all, &name)
	}
	return all
}

// Rows is every combination of the values above.
func (w *World) Rows() []Row { return w.rows(injections, w.revisions(), injects) }

// EachMeaning is Rows with one combination of those that mean the same: of two spellings each is there in turn.
func (w *World) EachMeaning() []Row {
	rows := w.rows(injections, w.revisions(), []*string{nil, new("true"), new("false"), new("other")})
	for i := range rows {
		if answer := rows[i].PodInject; answer != nil && i/len(w.revisions())%2 == 1 {
			rows[i].PodInject = new(map[string]string{"true": "enabled", "false": "disabled", "other": ""}[*answer])
		}
	}
	return rows
}

func (w *World) rows(injections, revisions, injects []*string) []Row {
	rows := make([]Row, 0, len(injections)*len(revisions)*len(injects)*len(revisions))
	for _, injection := range injections {
		for _, nsRevision := range revisions {
			for _, inject := range injects {
				for _, podRevision := range revisions {
					row := Row{NamespaceInjection: injection, NamespaceRevision: nsRevision, PodInject: inject, PodRevision: podRevision}
					w.Answer(&row)
					rows = append(rows, row)
				}
			}
		}
	}
	return rows
}

// Answer fills in what is wanted of a row. It is written down here as users read it, not derived from selectors.
func (w *World) Answer(r *Row) {
	r.Called = w.called(r)
	r.Injected = r.Called != None && w.injects(r)
}

// called is the table of the documentation: the pod's own "no" wins, then the namespace's labels, then the pod's.
func (w *World) called(r *Row) string {
	switch {
	case is(r.PodInject, "false", "disabled"):
		return None
	case is(r.NamespaceInjection, "enabled"):
		return w.Owners["default"]
	case r.NamespaceInjection != nil:
		return None
	case r.NamespaceRevision != nil:
		return w.Owners[*r.NamespaceRevision]
	case r.PodRevision != nil:
		return w.Owners[*r.PodRevision]
	case is(r.PodInject, "true", "enabled"):
		return w.Owners["default"]
	case r.PodInject == nil && w.policy(w.Owners["default"]) == v1alpha1.PolicyOptOut:
		return w.Owners["default"]
	}
	return None
}

// injects: whoever is called asks the pod, then neverInject, then alwaysInject, then the policy.
func (w *World) injects(r *Row) bool {
	_, never := r.Others[NeverLabel]
	switch {
	case is(r.PodInject, "true", "enabled"):
		return true
	case w.Listed && never:
		return false
	case w.Listed && r.Others[AlwaysLabel] == "yes":
		return true
	}
	return w.policy(r.Called) != v1alpha1.PolicyExplicit
}

func (w *World) policy(injector string) v1alpha1.Policy {
	i := slices.IndexFunc(w.Injectors, func(inj v1alpha1.Injector) bool { return inj.Name == injector })
	if i < 0 {
		return ""
	}
	return w.Injectors[i].Spec.Policy
}

func is(label *string, values ...string) bool {
	return label != nil && slices.Contains(values, *label)
}
