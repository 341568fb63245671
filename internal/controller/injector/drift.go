package injector

import (
	"bytes"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// drift is one field of a webhook configuration that isn't as we render it. The field names are the metric's: a fixed
// list.
type drift struct {
	entry string // full name of the webhook entry; "" for the object's metadata
	field string
}

// Fields of the object as a whole.
const (
	fieldObject = "object" // it was deleted
	fieldEntry  = "entry"  // a webhook entry was removed or added
)

// compare lists what of want live doesn't have. It compares meaning: the order of sets is free, what the API server
// defaults is no difference, and an added "control-plane DoesNotExist" (AKS) is tolerated.
func compare(want, live *admissionv1.MutatingWebhookConfiguration) []drift {
	all := compareMetadata(want, live)
	have := map[string]*admissionv1.MutatingWebhook{}
	for i := range live.Webhooks {
		have[live.Webhooks[i].Name] = &live.Webhooks[i]
	}
	for i := range want.Webhooks {
		w := &want.Webhooks[i]
		l := have[w.Name]
		delete(have, w.Name)
		if l == nil {
			all = append(all, drift{w.Name, fieldEntry})
			continue
		}
		for _, field := range compareEntry(normal(w), normal(l)) {
			all = append(all, drift{w.Name, field})
		}
	}
	for name := range have {
		all = append(all, drift{name, fieldEntry})
	}
	slices.SortFunc(all, func(a, b drift) int { return strings.Compare(a.entry+" "+a.field, b.entry+" "+b.field) })
	return all
}

func compareMetadata(want, live *admissionv1.MutatingWebhookConfiguration) []drift {
	var all []drift
	if !subset(want.Labels, live.Labels) {
		all = append(all, drift{"", "labels"})
	}
	if !subset(want.Annotations, live.Annotations) {
		all = append(all, drift{"", "annotations"})
	}
	for _, owner := range want.OwnerReferences {
		if !slices.ContainsFunc(live.OwnerReferences, func(o metav1.OwnerReference) bool { return o.UID == owner.UID }) {
			all = append(all, drift{"", "ownerReferences"})
		}
	}
	return all
}

func subset(want, have map[string]string) bool {
	for key, value := range want {
		if got, ok := have[key]; !ok || got != value {
			return false
		}
	}
	return true
}

// compareEntry expects normal forms.
func compareEntry(want, live *admissionv1.MutatingWebhook) []string {
	tolerate(want.NamespaceSelector, live.NamespaceSelector)
	same := equality.Semantic.DeepEqual
	wantTo, liveTo := want.ClientConfig, live.ClientConfig
	wantTo.CABundle, liveTo.CABundle = nil, nil
	var fields []string
	for _, c := range []struct {
		field string
		same  bool
	}{
		{fieldBundle, bytes.Equal(want.ClientConfig.CABundle, live.ClientConfig.CABundle)},
		{"clientConfig", same(wantTo, liveTo)},
		{"rules", same(want.Rules, live.Rules)},
		{"failurePolicy", same(want.FailurePolicy, live.FailurePolicy)},
		{"matchPolicy", same(want.MatchPolicy, live.MatchPolicy)},
		{"namespaceSelector", same(want.NamespaceSelector, live.NamespaceSelector)},
		{"objectSelector", same(want.ObjectSelector, live.ObjectSelector)},
		{"sideEffects", same(want.SideEffects, live.SideEffects)},
		{"timeoutSeconds", same(want.TimeoutSeconds, live.TimeoutSeconds)},
		{"admissionReviewVersions", same(want.AdmissionReviewVersions, live.AdmissionReviewVersions)},
		{"reinvocationPolicy", same(want.ReinvocationPolicy, live.ReinvocationPolicy)},
		{"matchConditions", same(want.MatchConditions, live.MatchConditions)},
	} {
		if !c.same {
			fields = append(fields, c.field)
		}
	}
	return fields
}

// tolerate removes from live what AKS adds and nobody of ours asked for.
func tolerate(want, live *metav1.LabelSelector) {
	added := func(r metav1.LabelSelectorRequirement) bool {
		return r.Key == "control-plane" && r.Operator == metav1.LabelSelectorOpDoesNotExist
	}
	if !slices.ContainsFunc(want.MatchExpressions, added) {
		live.MatchExpressions = slices.DeleteFunc(live.MatchExpressions, added)
	}
}

// normal returns a copy with the API server's defaults filled in and its sets sorted.
func normal(w *admissionv1.MutatingWebhook) *admissionv1.MutatingWebhook {
	n := w.DeepCopy()
	setDefault(&n.FailurePolicy, admissionv1.Fail)
	setDefault(&n.MatchPolicy, admissionv1.Equivalent)
	setDefault(&n.ReinvocationPolicy, admissionv1.NeverReinvocationPolicy)
	setDefault(&n.TimeoutSeconds, 10)
	setDefault(&n.NamespaceSelector, metav1.LabelSelector{})
	setDefault(&n.ObjectSelector, metav1.LabelSelector{})
	if s := n.ClientConfig.Service; s != nil {
		setDefault(&s.Port, 443)
	}
	for i := range n.Rules {
		normalRule(&n.Rules[i])
	}
	for _, selector := range []*metav1.LabelSelector{n.NamespaceSelector, n.ObjectSelector} {
		normalSelector(selector)
	}
	slices.SortFunc(n.MatchConditions, func(a, b admissionv1.MatchCondition) int { return strings.Compare(a.Name, b.Name) })
	return n
}

func normalRule(r *admissionv1.RuleWithOperations) {
	setDefault(&r.Scope, admissionv1.AllScopes)
	slices.Sort(r.Operations)
	slices.Sort(r.APIGroups)
	slices.Sort(r.APIVersions)
	slices.Sort(r.Resources)
}

func normalSelector(s *metav1.LabelSelector) {
	for i := range s.MatchExpressions {
		slices.Sort(s.MatchExpressions[i].Values)
	}
	slices.SortFunc(s.MatchExpressions, func(a, b metav1.LabelSelectorRequirement) int {
		return strings.Compare(a.Key+" "+string(a.Operator), b.Key+" "+string(b.Operator))
	})
}

func setDefault[T any](field **T, value T) {
	if *field == nil {
		*field = &value
	}
}
