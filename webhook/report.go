package webhook

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/pillion-mesh/pillion/internal/inject"
)

// outcome is one request from its start to what is told of it.
type outcome struct {
	start    time.Time
	body     body
	review   review
	request  inject.Request
	buffer   *[]byte // for the patch; nil before it is asked for
	result   inject.Result
	decided  bool // result holds a decision
	answer   *answer
	failure  *failure
	warnings []string
	sent     bool
}

// fail makes the answer an HTTP error.
func (o *outcome) fail(f *failure) {
	o.failure = f
	if !o.decided || o.result.Outcome != inject.OutcomeError {
		o.refused(f.reason)
	}
}

// refused is the decision where none was taken.
func (o *outcome) refused(reason inject.Reason) {
	message := ""
	if o.failure != nil {
		message = o.failure.message
	} else if o.answer != nil {
		message = o.answer.message
	}
	o.result = inject.Result{Decision: inject.Decision{
		Outcome: inject.OutcomeError, Injector: o.request.Injector, Entry: o.request.Entry,
		Reasons: []inject.Step{{Reason: reason, Message: message}},
	}}
}

// Limits of warnings: kubectl prints each on a line of its own.
const (
	maxWarnings = 8
	maxWarning  = 120
)

// note adds warnings and audit annotations to the answer.
func (o *outcome) note() {
	d := &o.result.Decision
	o.warnings = d.Warnings
	if d.Outcome == inject.OutcomeSkip && d.Asked {
		o.warnings = append(whyNot(d), d.Warnings...)
	}
	o.answer.warnings = shorten(o.warnings)
	o.answer.audit = append(make([][2]string, 0, 5),
		[2]string{"decision", string(d.Outcome)}, [2]string{"reason", string(d.Reason())}, [2]string{"injector", d.Injector})
	if len(d.Templates) > 0 {
		o.answer.audit = append(o.answer.audit, [2]string{"templates", strings.Join(d.Templates, ",")})
	}
	if d.Hash != "" {
		o.answer.audit = append(o.answer.audit, [2]string{"hash", d.Hash})
	}
}

// whyNot says why there is no sidecar, and what to do for one: whole or not at all, since it may be a command.
func whyNot(d *inject.Decision) []string {
	lines := []string{fmt.Sprintf("no sidecar (%s): %s", d.Reason(), d.Message())}
	if advice := d.Advice(); advice != "" {
		if line := "to inject it: " + advice; utf8.RuneCountInString(line) <= maxWarning {
			lines = append(lines, line)
		}
	}
	return lines
}

func shorten(warnings []string) []string {
	short := make([]string, 0, min(len(warnings), maxWarnings))
	for i, w := range warnings {
		if i == maxWarnings-1 && len(warnings) > maxWarnings {
			return append(short, fmt.Sprintf("and %d more warnings", len(warnings)-i))
		}
		short = append(short, cut(w, maxWarning))
	}
	return short
}

// cut shortens text to n characters.
func cut(text string, n int) string {
	if len(text) <= n || utf8.RuneCountInString(text) <= n {
		return text
	}
	return string([]rune(text)[:n-1]) + "…"
}

// tell says what happened: one line of log, metrics, events.
func (h *handler) tell(o *outcome) {
	d := &o.result.Decision
	took := time.Since(o.start)
	h.Metrics.observe(d, len(o.warnings), took)
	level := 0
	if d.Outcome == inject.OutcomeSkip {
		level = 1
	}
	if log := h.Log.V(level); log.Enabled() {
		log.Info("inject",
			"uid", o.review.uid, "ns", o.review.namespace, "pod", o.result.PodName, "owner", ownerText(o.result.Owner),
			"injector", d.Injector, "entry", d.Entry, "decision", string(d.Outcome), "reason", string(d.Reason()),
			"message", d.Message(), "templates", strings.Join(d.Templates, ","), "dry_run", o.review.dryRun,
			"patch_bytes", len(o.result.Patch), "dur_us", took.Microseconds())
	}
	if h.Events != nil && !o.review.dryRun && o.decided {
		h.events(o)
	}
}

func ownerText(owner inject.Owner) string {
	if owner.Kind == "" {
		return ""
	}
	return owner.Kind + "/" + owner.Name
}

func (h *handler) events(o *outcome) {
	d := &o.result.Decision
	e := Event{Namespace: o.review.namespace, Owner: o.result.Reference, Injector: d.Injector, Type: "Warning"}
	switch {
	case d.Outcome == inject.OutcomeDeny:
		e.Reason, e.Message = EventDenied, d.Message()
	case d.Outcome == inject.OutcomeSkip && d.Asked:
		e.Type, e.Reason, e.Message = "Normal", EventSkipped, fmt.Sprintf("%s: %s", d.Reason(), d.Message())
	case d.Outcome == inject.OutcomeInject && len(d.Warnings) > 0:
		e.Reason, e.Message = EventWarning, strings.Join(d.Warnings, "; ")
	default:
		return
	}
	e.Message = cut(e.Message, 1000) // an Event's limit is 1024 bytes
	h.Events.Event(e.own())
}

// own is the event without views of the request's text, which it outlives.
func (e Event) own() Event {
	o := &e.Owner
	for _, s := range []*string{&e.Namespace, &e.Injector, &e.Message, &o.APIVersion, &o.Kind, &o.Name, &o.UID} {
		*s = strings.Clone(*s)
	}
	return e
}
