package inject

import (
	"slices"
	"strconv"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
	"github.com/pillion-mesh/pillion/internal/istio"
)

// answers decide whether to inject, in this order: the first that decides is the answer.
var answers = []check{
	{hostNetwork, Step{ReasonHostNetwork, "the pod has a network of its own"}},
	{windows, Step{ReasonWindows, "the pod isn't for Windows"}},
	{mirrorPod, Step{ReasonMirrorPod, "the pod is no mirror of a static pod"}},
	{systemNamespace, Step{ReasonSystemNamespace, "the namespace is neither a system one nor the operator's"}},
	{excludedNamespace, Step{ReasonExcludedNamespace, "the namespace isn't excluded by the injector"}},
	{podAnswer, Step{ReasonPodOptedOut, "the pod itself gives no answer"}},
	{neverSelector, Step{ReasonNeverSelector, "no neverInject selector of the injector matches the pod's labels"}},
	{alwaysSelector, Step{ReasonAlwaysSelector, "no alwaysInject selector of the injector matches the pod's labels"}},
	{policyExplicit, Step{ReasonPolicyExplicit, "the injector's policy doesn't need the pod's own answer"}},
	{entryAnswer, Step{}},
}

// asked says whether pod or namespace want a sidecar, for telling them why they don't get one.
func (s *subject) asked() bool {
	answer, _ := s.answer()
	ns := s.request.Namespace.Labels
	switch {
	case slices.Contains(answersOn, answer.Text()):
		return true
	case slices.Contains(answersOff, answer.Text()):
		return false
	}
	return s.pod.labels.Has(istio.LabelRevision) || ns[istio.LabelInjection] == "enabled" || ns[istio.LabelRevision] != ""
}

// answer is what the pod itself says: the label if it is there, be it empty, else the annotation.
func (s *subject) answer() (value *rawjson.Value, isLabel bool) {
	if label := s.pod.labels.Get(istio.LabelInject); label != nil {
		return label, true
	}
	return s.pod.annotations.Get(istio.LabelInject), false
}

func hostNetwork(s *subject) bool {
	return s.pod.spec.Get("hostNetwork").True() &&
		s.skip(ReasonHostNetwork, "the pod uses the host's network (spec.hostNetwork: true), whose traffic isn't the pod's to capture")
}

func windows(s *subject) bool {
	if s.pod.spec.Get("os", "name").Text() == "windows" {
		return s.skip(ReasonWindows, "the pod is for Windows (spec.os.name: windows); the sidecar runs on Linux only")
	}
	return s.pod.spec.Get("nodeSelector", "kubernetes.io/os").Text() == "windows" &&
		s.skip(ReasonWindows, "the pod is for Windows nodes (spec.nodeSelector kubernetes.io/os: windows); the sidecar runs on Linux only")
}

func mirrorPod(s *subject) bool {
	return s.pod.annotations.Has("kubernetes.io/config.mirror") &&
		s.skip(ReasonMirrorPod, "the pod mirrors a static pod of its node (annotation kubernetes.io/config.mirror), which can't be changed from here")
}

func systemNamespace(s *subject) bool {
	switch name := s.request.Namespace.Name; {
	case slices.Contains(systemNamespaces, name):
		return s.skip(ReasonSystemNamespace, "namespace %q is a system namespace; pods there are never injected", name)
	case name != "" && name == s.op.Namespace:
		return s.skip(ReasonOperatorNamespace, "namespace %q is the operator's own; pods there are never injected", name)
	}
	return false
}

func excludedNamespace(s *subject) bool {
	name := s.request.Namespace.Name
	return s.program != nil && slices.Contains(s.program.excluded, name) &&
		s.skip(ReasonExcludedNamespace, "namespace %q is in excludedNamespaces of injector %q", name, s.program.Injector())
}

func podAnswer(s *subject) bool {
	value, isLabel := s.answer()
	if value == nil {
		return false
	}
	reason, kind := ReasonPodAnnotation, "annotation"
	if isLabel {
		reason, kind = ReasonPodLabel, "label"
	}
	switch text := value.Text(); {
	case slices.Contains(answersOn, text):
		return s.conclude(OutcomeInject, reason, "the pod's %s %s is %q", kind, istio.LabelInject, text)
	case slices.Contains(answersOff, text):
		return s.skip(ReasonPodOptedOut, "the pod's %s %s is %q", kind, istio.LabelInject, text)
	default:
		s.warn("%s %s is %s, which is no answer; want true, enabled, false or disabled", kind, istio.LabelInject, strconv.Quote(cut(text, 40)))
	}
	return false
}

// neverSelector and alwaysSelector hold where the pod itself gives no answer. They see what the webhooks see: an
// alwaysInject selector makes no webhook match more pods.
func neverSelector(s *subject) bool {
	return s.program != nil && s.listed(s.program.never, func(i int) bool {
		return s.skip(ReasonNeverSelector, "the pod's labels match spec.neverInject[%d] of injector %q", i, s.program.Injector())
	})
}

func alwaysSelector(s *subject) bool {
	return s.program != nil && s.listed(s.program.always, func(i int) bool {
		return s.conclude(OutcomeInject, ReasonAlwaysSelector, "the pod's labels match spec.alwaysInject[%d] of injector %q", i, s.program.Injector())
	})
}

// listed concludes with the first of some selectors that matches the pod.
func (s *subject) listed(list selectors, conclude func(i int) bool) bool {
	i := list.first(podLabels{s.pod.labels})
	return i >= 0 && conclude(i)
}

func policyExplicit(s *subject) bool {
	return s.program != nil && s.program.spec().Policy == v1alpha1.PolicyExplicit &&
		s.skip(ReasonPolicyExplicit, "the policy of injector %q is Explicit, and the pod doesn't ask: label it %s: \"true\"", s.program.Injector(), istio.LabelInject)
}

func entryAnswer(s *subject) bool {
	ns := &s.request.Namespace
	switch s.decision.Entry {
	case EntryNamespace:
		return s.conclude(OutcomeInject, ReasonNamespaceLabel, "namespace %q is labelled %s=enabled", ns.Name, istio.LabelInjection)
	case EntryRevNamespace:
		return s.conclude(OutcomeInject, ReasonNamespaceRevision, "namespace %q is labelled %s=%s", ns.Name, istio.LabelRevision, ns.Labels[istio.LabelRevision])
	case EntryRevObject:
		return s.conclude(OutcomeInject, ReasonPodRevision, "the pod is labelled %s=%s", istio.LabelRevision, s.pod.labels.Get(istio.LabelRevision).Text())
	case EntryAuto:
		return s.conclude(OutcomeInject, ReasonOptOutPolicy, "the policy of injector %q is OptOut, and neither pod nor namespace %q says otherwise", s.program.Injector(), ns.Name)
	}
	// The object entry wants the pod's label to be on; without it somebody edited the webhook.
	return s.skip(ReasonNotSelected, "neither the pod nor namespace %q asks for a sidecar", ns.Name)
}
