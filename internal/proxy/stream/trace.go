package stream

import "fmt"

// Trace collects the steps of a decision for people who ask why: which listener, chain, route or host was taken, and
// why earlier candidates weren't. Whoever decides takes a *Trace that is nil while traffic flows; it asks On before it
// makes a text, so that a decision nobody asks about costs nothing.
type Trace struct{ Steps []Step }

// Step is one step: what was decided upon, and what came of it.
type Step struct {
	What   string // listener, chain, virtual host, route, filter, cluster, host
	Reason string
}

// On reports whether somebody wants to know.
func (t *Trace) On() bool { return t != nil }

// Note adds a step. A nil Trace ignores it; still ask On first, for the arguments cost.
func (t *Trace) Note(what, format string, args ...any) {
	if t != nil {
		t.Steps = append(t.Steps, Step{what, fmt.Sprintf(format, args...)})
	}
}
