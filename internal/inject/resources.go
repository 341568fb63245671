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
// nothing else. A limit of 0 is no limit.
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
		if limit := merged[pair.limit]; limit != nil && limit.IsZero() {
			merged[pair.limit] = nil
		}
		if err := s.fitLimit(&merged, pair.request, pair.limit); err != nil {
			faults = append(faults, annotationFault(quantityKeys[pair.limit], merged[pair.limit].String(), err))
		}
	}
	s.resources = resourcesValue(merged)
	return append(faults, s.shareFaults(pod)...)
}

// fitLimit makes a request no higher than its limit: what the pod's author wrote counts, and what was inherited gives
// way. It's a fault if both were written.
func (s *settings) fitLimit(q *quantities, request, limit int) error {
	asked, most := q[request], q[limit]
	switch {
	case asked == nil || most == nil || asked.Cmp(*most) <= 0:
	case s.quantities[limit] == nil:
		q[limit] = asked
		if s.quantities[request] != nil {
			s.warn("annotation %q = %q is above the limit %s: the limit is raised to it", quantityKeys[request], asked.String(), most.String())
		}
	case s.quantities[request] == nil:
		q[request] = most
		s.warn("annotation %q = %q is below the request %s: the request is lowered to it", quantityKeys[limit], most.String(), asked.String())
	default:
		return fmt.Errorf("is below the request %s; raise it, or lower %s", asked.String(), quantityKeys[request])
	}
	return nil
}

// shareFaults are annotations that ask for more than the whole pod has: without Pad nothing is added to that, and the
// API server refuses such a pod.
func (s *settings) shareFaults(pod pod) (faults []Fault) {
	whole := pod.spec.Get("resources")
	if s.podResources != v1alpha1.PodResourcesShare || len(whole.Members()) == 0 {
		return nil
	}
	for place, has := range readQuantities(whole) {
		if own := s.quantities[place]; own != nil && has != nil && own.Cmp(*has) > 0 {
			faults = append(faults, annotationFault(quantityKeys[place], own.String(),
				fmt.Errorf("is above the pod's own spec.resources.%s.%s %s, which the sidecar shares; lower it, or annotate the pod %s: Pad",
					quantityPlaces[place][0], quantityPlaces[place][1], has.String(), AnnotationPodResources)))
		}
	}
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
