package inject

import (
	"strings"

	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
)

// Uninject takes our sidecars out of every pod and pod template of a YAML or JSON file, as Workloads puts them in.
// Whatever wasn't injected passes through. Where an injection can't be taken out, since somebody edited its annotations,
// the Workload's decision is a denial that says what to do; it is empty otherwise. The error is for files that can't be
// read.
func Uninject(file []byte) ([]Document, error) { return documents(file, uninject) }

func uninject(pod *rawjson.Value, _ bool, w *Workload) *rawjson.Value {
	if err := checkShape(pod); err != nil {
		w.Decision = Decision{Outcome: OutcomeError, Reasons: []Step{{ReasonBodyInvalid, "reading the pod: " + err.Error()}}}
		return pod
	}
	if !isInjected(pod.Get("metadata", "annotations")) {
		return pod
	}
	stripped, faults := strip(pod)
	if len(faults) == 0 {
		return stripped
	}
	messages := make([]string, len(faults))
	for i, f := range faults {
		messages[i] = f.Message
	}
	w.Decision = Decision{Outcome: OutcomeDeny, Faults: faults, Reasons: []Step{{ReasonOverrideInvalid, strings.Join(messages, "; ")}}}
	return pod
}
