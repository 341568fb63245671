package inject

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
)

// Set is all Programs an operator serves, with the webhooks rendered for them: immutable.
type Set struct {
	op       Operator
	programs map[string]*Program
	owned    map[string]string
	configs  []admissionregistrationv1.MutatingWebhookConfiguration
	entries  entryList // of configs
}

// NewSet joins programs and the names their Injectors own (from Claims). A name whose Injector has no program has no
// webhook.
func NewSet(op Operator, programs []*Program, owned map[string]string) *Set {
	s := &Set{op: op, programs: map[string]*Program{}, owned: owned}
	sorted := slices.SortedFunc(slices.Values(programs), func(a, b *Program) int { return cmp.Compare(a.Injector(), b.Injector()) })
	for _, p := range sorted {
		s.programs[p.Injector()] = p
		var names []string
		for name, owner := range owned {
			if owner == p.Injector() {
				names = append(names, name)
			}
		}
		s.configs = append(s.configs, Webhooks(p.injector, names, op, nil)...)
	}
	s.entries = compileEntries(s.configs)
	return s
}

// Webhooks are the configurations of all programs. They have no caBundle and are for Select only.
func (s *Set) Webhooks() []admissionregistrationv1.MutatingWebhookConfiguration { return s.configs }

// Program of an Injector; nil if there is none.
func (s *Set) Program(injector string) *Program { return s.programs[injector] }

// Decide says what becomes of a pod and why. It runs Select first if r.Entry is empty.
func (s *Set) Decide(r Request) Decision { return s.subject(&r).decision }

// Inject decides and, where the decision is to inject, makes the patch. It doesn't panic on any input it is known to
// get, and it doesn't catch panics: whoever serves many callers does.
func (s *Set) Inject(ctx context.Context, r Request) Result {
	subject := s.subject(&r)
	result := Result{Decision: subject.decision, PodName: subject.pod.name()}
	result.Owner, result.Reference = subject.pod.owners()
	if r.Owner != (Owner{}) {
		result.Owner = r.Owner
	}
	if result.Outcome != OutcomeInject {
		return result
	}
	v := &vars{
		program: subject.program, pod: subject.pod, namespace: r.Namespace,
		owner: result.Owner, settings: subject.settings, env: r.Env, room: slices.Grow(r.Room[:0], 8<<10),
	}
	pod, err := subject.program.injected(ctx, subject.original, v, result.Reason())
	if err == nil && ctx.Err() != nil {
		err = fmt.Errorf("making the patch: %w", ctx.Err())
	}
	if err != nil {
		subject.tell(nil, subject.settings.warnings...)
		result.Decision = failed(subject.decision, err)
		return result
	}
	spec := pod.Get("spec")
	subject.settings.warnOfPorts(spec)
	subject.tell(r.Namespace.Allowance.complaints(spec), subject.settings.warnings...)
	result.Warnings = subject.decision.Warnings
	result.pod = pod
	result.Patch = appendPatch(v.room, subject.original, pod)
	return result
}

func failed(d Decision, err error) Decision {
	reason := ReasonRenderFailed
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		reason = ReasonDeadline
	}
	d.Outcome = OutcomeError
	if refusal, is := errors.AsType[*refusal](err); is {
		d.Outcome, reason, d.Faults = OutcomeDeny, ReasonOverrideInvalid, []Fault{refusal.fault}
	}
	d.Reasons = append([]Step{{reason, err.Error()}}, d.Reasons...)
	return d
}

// MaxValues bounds a pod's JSON values, and so its tree to some 15 MiB. A pod has hundreds, one of 2000 variables 6000.
const MaxValues = 128 << 10

// subject decides about one pod.
func (s *Set) subject(r *Request) *subject {
	sub := &subject{request: r, op: &s.op}
	sub.decision.Injector, sub.decision.Entry = r.Injector, r.Entry
	root, err := r.Object, error(nil)
	if root == nil {
		root, err = rawjson.ParseUpTo(string(r.Pod), MaxValues)
	}
	if err == nil {
		err = checkObjects(root)
	}
	if err != nil {
		sub.fail(ReasonBodyInvalid, "reading the pod: %v", err)
		return sub
	}
	sub.original, sub.pod = root, viewPod(root)
	if r.Entry == "" && !s.selectEntry(sub) {
		return sub
	}
	if sub.program = s.named(sub.decision.Injector); sub.program == nil {
		sub.fail(ReasonInjectorUnknown, "%s", s.unknownInjector(sub.decision.Injector))
		return sub
	}
	sub.decision.Injector, sub.decision.Hash = sub.program.Injector(), sub.program.hash
	sub.decide()
	if sub.decision.Outcome == OutcomeDeny && sub.settings != nil { // a misspelt annotation may be why
		sub.tell(nil, sub.settings.warnings...)
	}
	return sub
}

// tell joins warnings with those of the decision. What others will refuse the pod for comes first: not all are shown.
func (s *subject) tell(first []string, rest ...string) {
	all := slices.Concat(first, s.decision.Warnings, rest)
	s.decision.Warnings = all[:min(len(all), maxWarnings)]
}

func (s *subject) fail(reason Reason, format string, args ...any) {
	s.decision.Outcome = OutcomeError
	s.decision.Reasons = []Step{{reason, fmt.Sprintf(format, args...)}}
}

// named is an Injector's program; "" is the default Injector.
func (s *Set) named(injector string) *Program {
	if injector == "" {
		injector = s.owned[v1alpha1.NameDefault]
	}
	return s.programs[injector]
}

func (s *Set) unknownInjector(injector string) string {
	if injector == "" {
		return "no injector is the default one"
	}
	return fmt.Sprintf("no injector %q is served here", cut(injector, shown))
}

// selectEntry finds the webhook entry that would be called. If none is, it says why, and that is the decision.
func (s *Set) selectEntry(sub *subject) bool {
	if matches := s.entries.selected(sub.request.Namespace, podLabels{sub.pod.labels}); len(matches) > 0 {
		sub.decision.Injector, sub.decision.Entry = matches[0].Injector, matches[0].Entry
		return true
	}
	sub.decision.Asked = sub.asked()
	s.explainNotCalled(sub)
	return false
}
