package xds

import (
	"fmt"
	"strings"
)

// maxMessage bounds a NACK's message in bytes, without its last "… and N more".
const maxMessage = 4 << 10

// Error says why a resource was refused.
type Error struct {
	Kind, Name string
	Problems   []Problem
	Lost       int // further problems that weren't kept
}

// Problem is one defect.
type Problem struct {
	Path   string // filter_chains[1].filters[0].http_filters[3] (envoy.filters.http.lua); empty: the whole resource
	Reason string
}

// Error lists the problems, joined by `; `.
func (e *Error) Error() string { return Message([]*Error{e}) }

// Message is the message of the NACK of a response in which these resources were refused: at most 4 KiB, then how many
// problems it leaves out.
func Message(errs []*Error) string {
	var out strings.Builder
	left := 0
	for _, e := range errs {
		left += e.Lost
		for _, p := range e.Problems {
			left += appendProblem(&out, e, p)
		}
	}
	if left > 0 {
		fmt.Fprintf(&out, "… and %d more", left)
	}
	return out.String()
}

// appendProblem returns 1 if there was no room for the problem.
func appendProblem(out *strings.Builder, e *Error, p Problem) int {
	text := e.line(p)
	if out.Len() > 0 {
		text = "; " + text
	}
	if out.Len() == 0 && len(text) > maxMessage {
		text = strings.ToValidUTF8(text[:maxMessage], "")
	}
	if out.Len()+len(text) > maxMessage {
		return 1
	}
	out.WriteString(text)
	return 0
}

func (e *Error) line(p Problem) string {
	if p.Path == "" {
		return fmt.Sprintf("%s %q: %s", e.Kind, e.Name, p.Reason)
	}
	return fmt.Sprintf("%s %q: %s: %s", e.Kind, e.Name, p.Path, p.Reason)
}
