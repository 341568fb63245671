package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/pillion-mesh/pillion/internal/inject"
)

// explainEntry says whether a webhook entry's selectors match a pod, and which requirement decided.
func explainEntry(w *admissionregistrationv1.MutatingWebhook, ns inject.Namespace, pod map[string]string) (bool, string) {
	// The API server adds this label to every namespace; one that doesn't exist yet will have it.
	ns.Labels = labels.Merge(ns.Labels, labels.Set{corev1.LabelMetadataName: ns.Name})
	if ok, why := explainSelector("namespace", w.NamespaceSelector, ns.Labels); !ok {
		return false, why
	}
	if ok, why := explainSelector("pod", w.ObjectSelector, pod); !ok {
		return false, why
	}
	if positive := positives("namespace", w.NamespaceSelector, ns.Labels); positive != "" {
		return true, positive
	}
	if positive := positives("pod", w.ObjectSelector, pod); positive != "" {
		return true, positive
	}
	return true, "its selectors leave nothing out"
}

// explainSelector names the first requirement that isn't met.
func explainSelector(of string, s *metav1.LabelSelector, set map[string]string) (bool, string) {
	for _, r := range requirements(s) {
		selector, err := metav1.LabelSelectorAsSelector(&metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{r}})
		if err != nil {
			return false, fmt.Sprintf("its %s selector is invalid: %v", of, err)
		}
		if !selector.Matches(labels.Set(set)) {
			if r.Key == corev1.LabelMetadataName && r.Operator == metav1.LabelSelectorOpNotIn {
				return false, fmt.Sprintf("namespace %s is excluded", set[r.Key])
			}
			return false, fmt.Sprintf("%s label %s; it wants %s", of, present(r.Key, set), wants(r))
		}
	}
	return true, ""
}

// requirements of a selector in one form.
func requirements(s *metav1.LabelSelector) []metav1.LabelSelectorRequirement {
	if s == nil {
		return nil
	}
	var all []metav1.LabelSelectorRequirement
	for _, key := range sortedKeys(s.MatchLabels) {
		all = append(all, metav1.LabelSelectorRequirement{Key: key, Operator: metav1.LabelSelectorOpIn, Values: []string{s.MatchLabels[key]}})
	}
	return append(all, s.MatchExpressions...)
}

// positives names the label that asked: the first one required to be there.
func positives(of string, s *metav1.LabelSelector, set map[string]string) string {
	for _, r := range requirements(s) {
		if r.Operator == metav1.LabelSelectorOpIn || r.Operator == metav1.LabelSelectorOpExists {
			return fmt.Sprintf("%s label %s", of, present(r.Key, set))
		}
	}
	return ""
}

func present(key string, set map[string]string) string {
	if value, ok := set[key]; ok {
		return key + "=" + value
	}
	return key + " is not set"
}

func wants(r metav1.LabelSelectorRequirement) string {
	switch r.Operator {
	case metav1.LabelSelectorOpIn:
		return strings.Join(r.Values, " or ")
	case metav1.LabelSelectorOpNotIn:
		return "anything but " + strings.Join(r.Values, ", ")
	case metav1.LabelSelectorOpExists:
		return "any value"
	}
	return "none"
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
