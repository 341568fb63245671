package inject

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/istio"
)

// explainNotCalled decides about a pod that no webhook entry matches: the steps that hold for any pod come first, then
// what the labels lack.
func (s *Set) explainNotCalled(sub *subject) {
	ns := sub.request.Namespace
	// The entry that would match if the namespace weren't excluded by its name.
	anywhere := Namespace{Labels: maps.Clone(ns.Labels)}
	delete(anywhere.Labels, corev1.LabelMetadataName)
	if matches := s.entries.selected(anywhere, podLabels{sub.pod.labels}); len(matches) > 0 {
		sub.decision.Injector = matches[0].Injector
		sub.program = s.programs[matches[0].Injector]
	}
	for _, c := range []check{
		{look: hostNetwork}, {look: windows}, {look: mirrorPod}, {look: systemNamespace}, {look: excludedNamespace},
		{look: labelledOff}, {look: s.namespaceUnmatched}, {look: s.podUnmatched},
	} {
		if c.look(sub) {
			break
		}
	}
	sub.decision.Reasons = []Step{sub.verdict}
	sub.decision.advice = s.advise(sub)
}

func labelledOff(s *subject) bool {
	answer, isLabel := s.answer()
	return isLabel && slices.Contains(answersOff, answer.Text()) && podAnswer(s)
}

// namespaceUnmatched says what of the namespace's labels keeps its pods from every entry.
func (s *Set) namespaceUnmatched(sub *subject) bool {
	ns := sub.request.Namespace
	injection, labelled := ns.Labels[istio.LabelInjection]
	revision, revised := ns.Labels[istio.LabelRevision]
	switch {
	case labelled && injection == "enabled":
		return s.noDefault(sub, "namespace "+strconv.Quote(ns.Name)+" is labelled "+istio.LabelInjection+"=enabled")
	case labelled && injection == "disabled":
		return sub.skip(ReasonNamespaceOptedOut, "namespace %q is labelled %s=disabled", ns.Name, istio.LabelInjection)
	case labelled:
		return sub.skip(ReasonNamespaceLabelUnknown, "namespace %q is labelled %s=%q, which is neither enabled nor disabled", ns.Name, istio.LabelInjection, injection)
	case revised:
		return sub.skip(ReasonNamespaceRevisionUnknown, "namespace %q is labelled %s=%q, and no injector has that revision or tag; there is %s", ns.Name, istio.LabelRevision, revision, s.names())
	}
	return false
}

// podUnmatched says what of the pod's labels keeps it from every entry.
func (s *Set) podUnmatched(sub *subject) bool {
	answer, isLabel := sub.answer()
	revision := sub.pod.labels.Get(istio.LabelRevision)
	on := isLabel && slices.Contains(answersOn, answer.Text())
	switch {
	case revision != nil:
		return sub.skip(ReasonPodRevisionUnknown, "the pod is labelled %s=%q, and no injector has that revision or tag; there is %s", istio.LabelRevision, revision.Text(), s.names())
	case on:
		return s.noDefault(sub, "the pod is labelled "+istio.LabelInject+"="+answer.Text())
	case isLabel:
		return sub.skip(ReasonPodLabelUnknown, "the pod's label %s is %q, which is no answer; want true, enabled, false or disabled", istio.LabelInject, cut(answer.Text(), 40))
	case answer != nil && slices.Contains(answersOn, answer.Text()):
		return sub.skip(ReasonNotSelected, "the pod asks by the annotation %s only, which webhooks can't see; use the label of that name", istio.LabelInject)
	}
	if i, injector := s.alwaysListed(sub); injector != "" {
		return sub.skip(ReasonNotSelected, "spec.alwaysInject[%d] of injector %q matches, but it makes no webhook see more pods, and neither the pod nor namespace %q asks for a sidecar",
			i, injector, sub.request.Namespace.Name)
	}
	return sub.skip(ReasonNotSelected, "neither the pod nor namespace %q asks for a sidecar", sub.request.Namespace.Name)
}

// alwaysListed finds an alwaysInject selector that matches a pod no webhook sees: who wrote it expects a sidecar.
func (s *Set) alwaysListed(sub *subject) (i int, injector string) {
	for _, injector := range slices.Sorted(maps.Keys(s.programs)) {
		if i := s.programs[injector].always.first(podLabels{sub.pod.labels}); i >= 0 {
			return i, injector
		}
	}
	return -1, ""
}

func (s *Set) noDefault(sub *subject, asked string) bool {
	if s.owned[v1alpha1.NameDefault] != "" && s.named("") != nil {
		return sub.skip(ReasonNotSelected, "%s, but no webhook matches", asked)
	}
	return sub.skip(ReasonNoDefaultInjector, "%s, but no injector is the default one; there is %s", asked, s.names())
}

// names lists what users can name in istio.io/rev.
func (s *Set) names() string {
	names := s.served()
	if len(names) == 0 {
		return "none"
	}
	return cut(strings.Join(names, ", "), shown)
}

// served are the names whose Injector has a program.
func (s *Set) served() []string {
	var names []string
	for name, injector := range s.owned {
		if s.programs[injector] != nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
