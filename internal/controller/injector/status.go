package injector

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/controller/degrade"
)

// Reasons of conditions.
const (
	reasonValid           = "Valid"
	reasonInvalid         = "Invalid"
	reasonNameTaken       = "NameTaken"
	reasonCompiled        = "Compiled"
	reasonCompileError    = "CompileError"
	reasonNotKept         = "LastGoodNotKept" // compiled, but nothing to fall back on after the next edit and a restart
	reasonApplied         = "Applied"
	reasonPending         = "Pending"
	reasonWriteFailed     = "WriteFailed" // by the API server, or by a policy of it
	reasonContested       = "Contested"
	reasonMissing         = "Missing"  // webhook.mode Field, and nobody made the webhook configuration
	reasonHandover        = "Handover" // webhook.mode Field, and we still own more of it than the caBundle
	reasonDrift           = "Drift"    // webhook.mode Field, and it isn't as rendered
	reasonNone            = "None"
	reasonForeignInjector = "ForeignInjector"
	reasonTrusted         = "Trusted"
	reasonNotTrusted      = "NotTrusted"
	reasonConflict        = "Conflict" // an older Injector has other certificates
	maxConditionMessage   = 32768
	usingPreviousMessage  = "; the last good version stays in use"
	neverCompiledMessage  = "; no earlier version is known, so it injects nothing"
)

// news says whether a condition has just become bad for a reason the user should hear of.
func news(before []metav1.Condition, now metav1.Condition) bool {
	bad := metav1.ConditionFalse
	switch now.Type {
	case v1alpha1.ConditionConflicts:
		bad = metav1.ConditionTrue
	case v1alpha1.ConditionDegraded: // who degrades tells
		return false
	}
	if now.Status != bad || now.Reason == reasonPending || now.Reason == reasonNotTrusted {
		return false
	}
	old := meta.FindStatusCondition(before, now.Type)
	return old == nil || old.Status != now.Status || old.Reason != now.Reason || old.Message != now.Message
}

func (p *pass) status() v1alpha1.InjectorStatus {
	s := v1alpha1.InjectorStatus{
		ObservedGeneration: p.inj.Generation,
		Conditions:         slices.Clone(p.inj.Status.Conditions),
		Certificates:       p.certificates.status,
		Templates:          p.templates(),
		Pods:               p.inj.Status.Pods, // of package workload, which writes nothing else
	}
	if p.compiled.Program != nil {
		s.Hash = p.compiled.Program.Hash()
	}
	for _, w := range p.webhooks {
		s.Webhooks = append(s.Webhooks, v1alpha1.WebhookStatus{Name: w.name, Mode: w.mode, InSync: w.inSync, Entries: w.entries})
	}
	for _, condition := range []metav1.Condition{p.accepted(), p.templatesReady(), p.webhooksReady(), p.certificatesReady(), p.conflicting(), p.degraded()} {
		condition.ObservedGeneration = p.inj.Generation
		if len(condition.Message) > maxConditionMessage {
			condition.Message = condition.Message[:maxConditionMessage]
		}
		meta.SetStatusCondition(&s.Conditions, condition)
	}
	return s
}

func condition(kind string, ok bool, reason, message string) metav1.Condition {
	status := metav1.ConditionFalse
	if ok {
		status = metav1.ConditionTrue
	}
	return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message}
}

func (p *pass) accepted() metav1.Condition {
	if len(p.compiled.Invalid) > 0 {
		return condition(v1alpha1.ConditionAccepted, false, reasonInvalid, p.compiled.Invalid.ToAggregate().Error()+p.fallback())
	}
	var taken []string
	for _, r := range p.state.Refused {
		if r.Injector == p.inj.Name {
			taken = append(taken, fmt.Sprintf("name %q belongs to the older Injector %q", r.Name, r.Owner))
		}
	}
	if len(taken) > 0 {
		return condition(v1alpha1.ConditionAccepted, false, reasonNameTaken, strings.Join(taken, "; ")+"; choose another revision or tag, or take the name from the other one")
	}
	return condition(v1alpha1.ConditionAccepted, true, reasonValid, "")
}

func (p *pass) templatesReady() metav1.Condition {
	switch {
	case p.compiled.Fault != nil:
		return condition(v1alpha1.ConditionTemplatesReady, false, reasonCompileError, strings.Join(describeFaults(p.compiled.Fault.Templates), "; ")+p.fallback())
	case len(p.compiled.Invalid) > 0:
		return condition(v1alpha1.ConditionTemplatesReady, false, reasonInvalid, "the spec isn't accepted"+p.fallback())
	case p.compiled.Pending != nil:
		return condition(v1alpha1.ConditionTemplatesReady, false, reasonPending, p.compiled.Pending.Error()+"; trying again"+p.meanwhile())
	case p.notKept != "":
		return condition(v1alpha1.ConditionTemplatesReady, true, reasonNotKept, p.notKept)
	}
	return condition(v1alpha1.ConditionTemplatesReady, true, reasonCompiled, "")
}

// meanwhile says what is served while the present version isn't.
func (p *pass) meanwhile() string {
	if p.compiled.Program != nil {
		return usingPreviousMessage
	}
	return ""
}

func (p *pass) fallback() string {
	switch {
	case p.compiled.Program != nil:
		return p.meanwhile()
	case p.compiled.Pending != nil:
		return "; " + p.compiled.Pending.Error() + "; trying again"
	}
	return neverCompiledMessage
}

// templates lists those the spec names, with the faults of each.
func (p *pass) templates() []v1alpha1.TemplateStatus {
	names := slices.Clone(p.inj.Spec.DefaultTemplates)
	for _, t := range p.inj.Spec.Templates {
		names = append(names, t.Name)
	}
	if p.compiled.Fault != nil {
		for name := range p.compiled.Fault.Templates {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var all []v1alpha1.TemplateStatus
	for _, name := range slices.Compact(names) {
		if name == "" {
			continue
		}
		t := v1alpha1.TemplateStatus{Name: name, Ready: true}
		if p.compiled.Fault != nil {
			t.Errors = p.compiled.Fault.Templates[name]
			t.Ready = len(t.Errors) == 0
		}
		t.UsingPrevious = !t.Ready && p.compiled.Previous()
		all = append(all, t)
	}
	return all
}

func (p *pass) webhooksReady() metav1.Condition {
	if p.pending != "" {
		return condition(v1alpha1.ConditionWebhooksReady, false, reasonPending, p.pending)
	}
	by := map[string][]string{}
	for _, w := range p.webhooks {
		switch {
		case w.reason != "":
			by[w.reason] = append(by[w.reason], w.why)
		case !w.inSync:
			by[reasonPending] = append(by[reasonPending], w.name+" isn't written yet")
		}
	}
	for _, reason := range []string{reasonWriteFailed, reasonMissing, reasonContested, reasonHandover, reasonDrift, reasonPending} {
		if why := by[reason]; len(why) > 0 {
			return condition(v1alpha1.ConditionWebhooksReady, false, reason, strings.Join(why, "; "))
		}
	}
	return condition(v1alpha1.ConditionWebhooksReady, true, reasonApplied, "")
}

func (p *pass) degraded() metav1.Condition {
	inj := p.inj
	if p.compiled.InEffect != nil {
		inj = p.compiled.InEffect
	}
	degraded := slices.ContainsFunc(p.webhooks, func(w webhookPass) bool { return w.degraded })
	return degrade.Condition(inj, p.op.Namespace, p.op.Service, degraded)
}
