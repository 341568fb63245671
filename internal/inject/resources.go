package inject

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/istio"
)

// quantities are the proxy's resources, by the places below; nil: none.
type quantities = [4]*resource.Quantity

// The places, and the annotations of each.
const (
	requestCPU = iota
	requestMemory
	limitCPU
	limitMemory
)

var quantityKeys = [4]string{istio.AnnotationProxyCPU, istio.AnnotationProxyMemory, istio.AnnotationProxyCPULimit, istio.AnnotationProxyMemoryLimit}

// pairs are the places of a request and its limit.
var pairs = [2]struct{ request, limit int }{{requestCPU, limitCPU}, {requestMemory, limitMemory}}

func setQuantity(place int) func(*settings, string) error {
	return func(s *settings, value string) error {
		q, err := parseQuantity(value)
		if err != nil {
			return err
		}
		s.quantities[place] = &q
		return nil
	}
}

// resolveResources joins the Injector's resources with the pod's annotations: each annotation replaces its own value and
// nothing else. A limit of 0 is no limit. A request above a limit that the pod inherited raises the limit; above one
// that the pod set itself it is a fault.
func (s *settings) resolveResources(p *Program, pod pod) (faults []Fault) {
	inherited, changed := s.inherited(p, pod)
	if !changed && s.quantities == (quantities{}) {
		return nil
	}
	s.changed = true
	merged := inherited
	for place, own := range s.quantities {
		if own != nil {
			merged[place] = own
		}
	}
	for _, pair := range pairs {
		request, limit := merged[pair.request], merged[pair.limit]
		switch {
		case limit != nil && limit.IsZero():
			merged[pair.limit] = nil
		case request == nil || limit == nil || request.Cmp(*limit) <= 0:
		case s.quantities[pair.limit] == nil:
			merged[pair.limit] = request
			if s.quantities[pair.request] != nil {
				s.warn("annotation %q = %q is above the limit %s: the limit is raised to it", quantityKeys[pair.request], request.String(), limit.String())
			}
		default:
			faults = append(faults, annotationFault(quantityKeys[pair.limit], limit.String(),
				fmt.Errorf("is below the request %s; raise it, or lower %s", request.String(), quantityKeys[pair.request])))
		}
	}
	s.resources = resourcesValue(merged)
	return faults
}

// inherited are the resources of a pod without annotations, and whether they differ from the Injector's own.
func (s *settings) inherited(p *Program, pod pod) (q quantities, changed bool) {
	ratio := p.spec().Proxy.ResourceRatio
	switch {
	case s.podResources == v1alpha1.PodResourcesShare && len(pod.spec.Get("resources").Members()) > 0:
		return q, true
	case ratio != nil:
		return ratioed(p.quantities, ratio, pod), true
	}
	return p.quantities, false
}

// quantitiesOf are the four places of resource requirements.
func quantitiesOf(r *corev1.ResourceRequirements) (q quantities) {
	for place, from := range [4]struct {
		list corev1.ResourceList
		name corev1.ResourceName
	}{{r.Requests, corev1.ResourceCPU}, {r.Requests, corev1.ResourceMemory}, {r.Limits, corev1.ResourceCPU}, {r.Limits, corev1.ResourceMemory}} {
		if value, ok := from.list[from.name]; ok {
			q[place] = &value
		}
	}
	return q
}
