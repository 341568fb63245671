package inject

import (
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/istio"
)

// advice is how a pod that gets no sidecar would get one: labels to change, an empty value to remove one; else words.
type advice struct {
	namespace  string
	namespaces map[string]string // labels of the namespace
	pods       map[string]string // labels of the pod; none has to be removed
	words      string
}

// Advice is what to do for a sidecar: commands or words, after "to inject it:". Empty if the pod gets one, if nothing
// can be done, or if a denial says it already.
func (d *Decision) Advice() string {
	if d.Outcome == OutcomeInject {
		return ""
	}
	parts := make([]string, 0, 3)
	if len(d.advice.namespaces) > 0 {
		parts = append(parts, labelCommand(d.advice.namespace, d.advice.namespaces))
	}
	if len(d.advice.pods) > 0 {
		var labels []string
		for _, key := range slices.Sorted(maps.Keys(d.advice.pods)) {
			labels = append(labels, key+`: "`+d.advice.pods[key]+`"`)
		}
		parts = append(parts, "label the pod "+strings.Join(labels, ", ")+" (of a workload: in its pod template)")
	}
	if d.advice.words != "" {
		parts = append(parts, d.advice.words)
	}
	return strings.Join(parts, "; and ")
}

// labelCommand is to be pasted into a shell, so a name that is none of a namespace's isn't in it.
func labelCommand(namespace string, labels map[string]string) string {
	if len(validation.IsDNS1123Label(namespace)) > 0 {
		namespace = "NAMESPACE"
	}
	command := "kubectl label --overwrite namespace " + namespace
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		if value := labels[key]; value != "" {
			command += " " + key + "=" + value
		} else {
			command += " " + key + "-"
		}
	}
	return command
}

// ownAnswer is the label by which a pod asks itself.
var ownAnswer = map[string]string{istio.LabelInject: answersOn[0]}

// adviseCalled is for pods that a webhook sees: what they lack is their own answer, or a change of the pod itself.
func (s *subject) adviseCalled() advice {
	switch s.verdict.Reason {
	case ReasonPodOptedOut, ReasonNeverSelector, ReasonPolicyExplicit:
		return advice{pods: ownAnswer}
	}
	return advice{words: s.adviseAnyway()}
}

// adviseAnyway is for what holds whatever the labels are.
func (s *subject) adviseAnyway() string {
	switch s.verdict.Reason {
	case ReasonHostNetwork:
		return "remove spec.hostNetwork from the pod"
	case ReasonMirrorPod:
		return "run it as a Deployment or DaemonSet instead of from a file of the node"
	case ReasonSystemNamespace, ReasonOperatorNamespace:
		return "create it in another namespace"
	case ReasonExcludedNamespace:
		return "kubectl edit injector " + s.program.Injector() + ", and remove the namespace from spec.excludedNamespaces"
	case ReasonForeignSidecar:
		return "take the other mesh's sidecar out of the pod, and keep its injector from this namespace"
	}
	return ""
}

// advise is for pods that no webhook sees. It changes no more labels than it takes for one of them to match.
func (s *Set) advise(sub *subject) advice {
	if words := sub.adviseAnyway(); words != "" || sub.verdict.Reason == ReasonWindows {
		return advice{words: words}
	}
	names := s.served()
	if len(names) == 0 {
		return advice{words: "make an Injector, or see what is wrong with those there are: kubectl get injectors"}
	}
	ns, pod := &sub.request.Namespace, sub.pod.labels.Map()
	a := advice{namespace: ns.Name, namespaces: map[string]string{}, pods: map[string]string{}}
	if sub.mustAnswer(s.programs[s.owned[wanted(names)]]) {
		a.pods[istio.LabelInject] = answersOn[0]
		if len(s.entries.selected(*ns, labels.Set(with(pod, a.pods)))) > 0 {
			return a
		}
	}
	a.name(wanted(names), ns.Labels, with(pod, a.pods))
	return a
}

// wanted is the name to suggest: the default one if there is one.
func wanted(names []string) string {
	if slices.Contains(names, v1alpha1.NameDefault) {
		return v1alpha1.NameDefault
	}
	return names[0]
}

// mustAnswer says whether it takes the pod's own answer: it gave another, or else the Injector leaves it out.
func (s *subject) mustAnswer(p *Program) bool {
	if answer, isLabel := s.answer(); answer != nil {
		return !isLabel || !slices.Contains(answersOn, answer.Text())
	}
	return p.spec().Policy == v1alpha1.PolicyExplicit || p.never.first(podLabels{s.pod.labels}) >= 0
}

// name has the labels name an Injector: the namespace's, if it says something already or if nobody does, else the pod's.
func (a *advice) name(name string, ns, pod map[string]string) {
	injection, revision := has(ns, istio.LabelInjection), has(ns, istio.LabelRevision)
	switch asks := has(pod, istio.LabelRevision) || has(pod, istio.LabelInject); {
	case asks && !injection && !revision:
		a.pods[istio.LabelRevision] = name
	case name == v1alpha1.NameDefault:
		a.namespaces[istio.LabelInjection] = "enabled"
	default:
		a.namespaces[istio.LabelRevision] = name
		if injection {
			a.namespaces[istio.LabelInjection] = ""
		}
	}
}

func has(labels map[string]string, key string) bool {
	_, there := labels[key]
	return there
}

func with(labels, more map[string]string) map[string]string {
	all := maps.Clone(more)
	for key, value := range labels {
		if !has(all, key) {
			all[key] = value
		}
	}
	return all
}
