package inject

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/istio"
)

// maxChosen bounds the templates of one pod, after aliases are looked up.
const maxChosen = 16

// choice is what a pod is made of.
type choice struct {
	templates []string // each once, in the order they are first named
	captures  bool     // one of them leads traffic into the proxy
}

// choose looks up names of templates and aliases. Aliases aren't looked up in each other.
func (p *Program) choose(names []string) (c choice, faults []error) {
	for _, name := range names {
		stands := p.aliases[name]
		if stands == nil {
			stands = []string{name}
		}
		for _, name := range stands {
			t := p.templates[name]
			if t == nil {
				faults = append(faults, p.unknown(name))
				continue
			}
			if !slices.Contains(c.templates, name) {
				c.templates = append(c.templates, name)
				c.captures = c.captures || t.captures
			}
		}
	}
	if n := len(c.templates); n > maxChosen {
		faults = append(faults, fmt.Errorf("these are %d templates, once aliases are looked up; want at most %d", n, maxChosen))
	}
	return c, faults
}

// listedNames is how many names a message gives; an Injector may have 67.
const listedNames = 8

// unknown names what may have been meant, the nearest first.
func (p *Program) unknown(name string) error {
	known := p.TemplateNames()
	slices.SortStableFunc(known, func(a, b string) int { return cmp.Compare(min(3, distance(name, a)), min(3, distance(name, b))) })
	more := ""
	if len(known) > listedNames {
		more = fmt.Sprintf(" or %d others", len(known)-listedNames)
		known = known[:listedNames]
	}
	return fmt.Errorf("%q is no template of injector %q; want one of %s%s", cut(name, 63), p.Injector(), strings.Join(known, ", "), more)
}

// follow settles what depends on the templates.
func (s *settings) follow(c choice, pod pod) {
	s.templates = c.templates
	if !c.captures && s.capture.Mode != v1alpha1.CaptureNone {
		s.capture.Mode, s.captured = v1alpha1.CaptureNone, true
	}
	s.native = s.native && !isGateway(pod)
}

// isGateway says whether the proxy is all there is in a pod: an init container can't be.
func isGateway(pod pod) bool {
	containers := pod.containers()
	return len(containers) == 1 && nameOf(containers[0]) == istio.ContainerProxy
}

func unknownTemplates(s *subject) bool {
	chosen, errs := s.program.defaults, []error(nil)
	if s.pod.annotations.Has(istio.AnnotationTemplates) {
		chosen, errs = s.program.choose(s.settings.templates)
	}
	var faults []Fault
	for _, err := range errs {
		faults = append(faults, annotationFault(istio.AnnotationTemplates, s.pod.annotations.Get(istio.AnnotationTemplates).Text(), err))
	}
	s.settings.follow(chosen, s.pod)
	s.decision.Templates = chosen.templates
	return len(faults) > 0 && s.deny(ReasonTemplateUnknown, faults)
}
