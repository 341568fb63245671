package inject

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
	"github.com/pillion-mesh/pillion/internal/istio"
)

// subject is one pod while it is decided about.
type subject struct {
	request  *Request
	op       *Operator
	program  *Program
	original *rawjson.Value // as it came
	pod      pod            // without an earlier injection
	settings *settings
	verdict  Step // of the check that decided
	decision Decision
}

// check is one step of a decision. look either decides, by one of subject's verdicts, or returns false; then passed is
// what is told of the step.
type check struct {
	look   func(*subject) bool
	passed Step
}

// obstacles are looked at once the answer is to inject.
var obstacles = []check{
	{foreignSidecar, Step{ReasonForeignSidecar, "no other mesh's sidecar is there"}},
	{invalidAnnotations, Step{ReasonAnnotationInvalid, "all annotations are valid"}},
	{unknownTemplates, Step{ReasonTemplateUnknown, "all templates are known"}},
	{uidCollision, Step{ReasonUIDCollision, "no application runs as the sidecar's user"}},
}

func (s *subject) decide() {
	s.decision.Asked = s.asked()
	passed := make([]Step, 1, 1+len(answers)+len(obstacles)) // the first is for the decisive one
	passed = s.firstOf(answers, passed)
	if answer := passed[0]; s.decision.Outcome == OutcomeInject {
		if err := checkLists(s.original); err != nil {
			s.fail(ReasonBodyInvalid, "reading the pod: %v", err)
			return
		}
		passed = s.firstOf(obstacles, passed)
		if s.decision.Outcome != OutcomeInject {
			passed = append(passed, answer)
		}
	}
	s.decision.Reasons = passed
	if s.decision.Outcome != OutcomeInject {
		s.decision.advice = s.adviseCalled()
	}
}

// firstOf runs checks until one decides, which becomes the first of the reasons, and adds those passed before it.
func (s *subject) firstOf(checks []check, reasons []Step) []Step {
	for i := range checks {
		if checks[i].look(s) {
			reasons[0] = s.verdict
			return reasons
		}
		reasons = append(reasons, checks[i].passed)
	}
	return reasons
}

// conclude makes the step being looked at the decisive one.
func (s *subject) conclude(outcome Outcome, reason Reason, format string, args ...any) bool {
	s.decision.Outcome = outcome
	s.verdict = Step{reason, fmt.Sprintf(format, args...)}
	return true
}

func (s *subject) skip(reason Reason, format string, args ...any) bool {
	return s.conclude(OutcomeSkip, reason, format, args...)
}

func (s *subject) deny(reason Reason, faults []Fault) bool {
	s.decision.Faults = faults
	messages := make([]string, len(faults))
	for i, f := range faults {
		messages[i] = f.Message
	}
	return s.conclude(OutcomeDeny, reason, "%s", strings.Join(messages, "; "))
}

func (s *subject) warn(format string, args ...any) {
	s.decision.Warnings = append(s.decision.Warnings, fmt.Sprintf(format, args...))
}

func foreignSidecar(s *subject) bool {
	if s.pod.annotations.Has(istio.AnnotationStatus) && !s.pod.annotations.Has(AnnotationInjector) {
		return s.skip(ReasonForeignSidecar, "another injector has been here: annotation %s without %s", istio.AnnotationStatus, AnnotationInjector)
	}
	for _, list := range [2][]*rawjson.Value{s.pod.containers(), s.pod.initContainers()} {
		for _, c := range list {
			switch name := nameOf(c); name {
			case "linkerd-proxy", "kuma-sidecar", "consul-dataplane":
				return s.skip(ReasonForeignSidecar, "the pod has the sidecar of another mesh: container %q", name)
			}
		}
	}
	return false
}

// invalidAnnotations reads the settings and takes an earlier injection out: all faults of both are reported at once.
func invalidAnnotations(s *subject) bool {
	stripped, overrideFaults := strip(s.original)
	s.pod = viewPod(stripped)
	s.settings = s.program.baseSettings(s.request.Native)
	faults := s.settings.read(s.program, s.pod, s.request.Namespace)
	s.decision.Templates = s.settings.templates
	if len(faults) > 0 {
		return s.deny(ReasonAnnotationInvalid, append(faults, overrideFaults...))
	}
	return len(overrideFaults) > 0 && s.deny(ReasonOverrideInvalid, overrideFaults)
}

// uidCollision: traffic of an application that runs as the proxy's user would pass for the proxy's own and not be
// captured.
func uidCollision(s *subject) bool {
	if s.settings.capture.Mode == v1alpha1.CaptureNone || s.settings.allowProxyUID {
		return false
	}
	podUID, podHas := number(s.pod.spec.Get("securityContext", "runAsUser"))
	var faults []Fault
	for at, c := range s.pod.lasting() {
		uid, has := number(c.Get("securityContext", "runAsUser"))
		if !has {
			uid, has = podUID, podHas
		}
		if !has || uid != s.settings.capture.UID || nameOf(c) == istio.ContainerProxy {
			continue
		}
		faults = append(faults, Fault{
			Field: at.String() + ".securityContext.runAsUser", Value: strconv.FormatInt(uid, 10),
			Message: fmt.Sprintf("container %q runs as user %d, as the sidecar does, so its traffic could not be told from the sidecar's; choose another user, or annotate the pod %s: \"true\"",
				nameOf(c), uid, AnnotationAllowProxyUID),
		})
	}
	if len(faults) > 0 {
		return s.deny(ReasonUIDCollision, faults)
	}
	s.warnOfGroup()
	return false
}

// warnOfGroup tells of applications that capture takes for the proxy by their group. It is no denial: Istio takes such
// pods without a word, and some have the group for files they share.
func (s *subject) warnOfGroup() {
	ofPod, podHas := number(s.pod.spec.Get("securityContext", "runAsGroup"))
	for _, c := range s.pod.lasting() {
		gid, has := number(c.Get("securityContext", "runAsGroup"))
		if !has {
			gid, has = ofPod, podHas
		}
		if has && gid == s.settings.capture.GID && nameOf(c) != istio.ContainerProxy {
			s.warn("runAsGroup %d is the sidecar's group: traffic of container %q is not captured; choose another", gid, nameOf(c))
		}
	}
}
