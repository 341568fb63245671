package inject

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// Example is one combination of labels. What isn't named in it is unset.
type Example struct {
	NamespaceLabels map[string]string `json:"namespaceLabels,omitempty"`
	PodLabels       map[string]string `json:"podLabels,omitempty"`
}

// String is the example as people say it.
func (e *Example) String() string {
	return labelled("a pod", e.PodLabels) + " in " + labelled("a namespace", e.NamespaceLabels)
}

func labelled(what string, set map[string]string) string {
	if len(set) == 0 {
		return what + " without labels"
	}
	pairs := make([]string, 0, len(set))
	for _, key := range slices.Sorted(maps.Keys(set)) {
		pairs = append(pairs, key+"="+set[key])
	}
	return what + " labelled " + strings.Join(pairs, ", ")
}

// overlap finds labels that both entries match. It is exact, and it takes no product of label values: a requirement is
// about one key, so a combination exists if each key by itself has a value.
func overlap(a, b *admissionregistrationv1.MutatingWebhook) (Example, bool) {
	ns, met := commonLabels(a.NamespaceSelector, b.NamespaceSelector)
	if !met {
		return Example{}, false
	}
	pod, met := commonLabels(a.ObjectSelector, b.ObjectSelector)
	return Example{NamespaceLabels: ns, PodLabels: pod}, met
}

// commonLabels are labels both selectors match, as few as will do.
func commonLabels(selectors ...*metav1.LabelSelector) (map[string]string, bool) {
	byKey := map[string][]labels.Requirement{}
	for _, s := range selectors {
		if s == nil {
			continue // selects everything
		}
		selector, err := metav1.LabelSelectorAsSelector(s)
		if err != nil {
			return nil, false // the API server wouldn't have taken it
		}
		requirements, selectable := selector.Requirements()
		if !selectable {
			return nil, false
		}
		for _, r := range requirements {
			byKey[r.Key()] = append(byKey[r.Key()], r)
		}
	}
	set := map[string]string{}
	for key, requirements := range byKey {
		if !meet(key, requirements, set) {
			return nil, false
		}
	}
	return set, true
}

// meet adds to set the value that meets all requirements on a key, if it must have one. Tried are: unset, every value
// named, and one that nobody names; no selector tells others apart.
func meet(key string, requirements []labels.Requirement, set labels.Set) bool {
	named := []string{}
	for _, r := range requirements {
		named = append(named, r.ValuesUnsorted()...)
	}
	slices.Sort(named)
	if key != corev1.LabelMetadataName { // which every namespace has
		if all(requirements, labels.Set{}) {
			return true
		}
	} else if all(requirements, labels.Set{key: freshValue(named)}) {
		return true // nearly any namespace: not worth a word
	}
	for _, value := range append(named, freshValue(named)) {
		if all(requirements, labels.Set{key: value}) {
			set[key] = value
			return true
		}
	}
	return false
}

func all(requirements []labels.Requirement, set labels.Set) bool {
	return !slices.ContainsFunc(requirements, func(r labels.Requirement) bool { return !r.Matches(set) })
}

func freshValue(named []string) string {
	name := "other"
	for n := 2; slices.Contains(named, name); n++ {
		name = "other-" + strconv.Itoa(n)
	}
	return name
}
