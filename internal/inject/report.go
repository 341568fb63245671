package inject

import (
	"fmt"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// Evaluation is one webhook entry and whether it selects a pod, for people who ask why.
type Evaluation struct {
	Match
	Namespace bool `json:"namespaceMatches"`
	Object    bool `json:"objectMatches"`
}

// Selected says whether the API server would call this entry.
func (e *Evaluation) Selected() bool { return e.Namespace && e.Object }

// Evaluate is Select with every entry in the answer, also those that don't match.
func Evaluate(configs []admissionregistrationv1.MutatingWebhookConfiguration, ns Namespace, podLabels map[string]string) []Evaluation {
	set := ns.set()
	var all []Evaluation
	for _, e := range compileEntries(configs) {
		all = append(all, Evaluation{Match: e.Match, Namespace: e.namespaces.Matches(set), Object: e.pods.Matches(labels.Set(podLabels))})
	}
	return all
}

// Explain is a decision as people read it: the verdict, then each step with a mark.
func (d *Decision) Explain() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s: %s\n", d.mark(), verdicts[d.Outcome], d.Message())
	if d.Injector != "" {
		fmt.Fprintf(&b, "  injector %s", d.Injector)
		if d.Entry != "" {
			fmt.Fprintf(&b, ", webhook entry %s", d.Entry)
		}
		if len(d.Templates) > 0 {
			fmt.Fprintf(&b, ", templates %s", strings.Join(d.Templates, ","))
		}
		b.WriteByte('\n')
	}
	for i, step := range d.Reasons {
		if i == 0 {
			fmt.Fprintf(&b, "  %s %-27s %s\n", d.mark(), step.Reason, step.Message)
			continue
		}
		fmt.Fprintf(&b, "  · %-27s %s\n", step.Reason, step.Message)
	}
	for _, w := range d.Warnings {
		fmt.Fprintf(&b, "  ‼ %s\n", w)
	}
	if advice := d.Advice(); advice != "" {
		fmt.Fprintf(&b, "  to inject it: %s\n", advice)
	}
	return b.String()
}

var verdicts = map[Outcome]string{
	OutcomeInject: "injected", OutcomeSkip: "not injected", OutcomeDeny: "denied", OutcomeError: "error",
}

func (d *Decision) mark() string {
	if d.Outcome == OutcomeInject {
		return "✔"
	}
	return "✘"
}
