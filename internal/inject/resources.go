package inject

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
)

// resolveResources joins the Injector's resources with the pod's annotations: each annotation replaces its own value and
// nothing else. A limit of 0 is no limit. A request above a limit that the pod inherited raises the limit; above one
// that the pod set itself it is a fault.
func (s *settings) resolveResources(p *Program) (faults []Fault) {
	if s.quantities == [4]*resource.Quantity{} {
		s.resources = p.resources
		return nil
	}
	merged := [4]*resource.Quantity{}
	for place, inherited := range p.quantities {
		merged[place] = inherited
		if own := s.quantities[place]; own != nil {
			merged[place] = own
		}
	}
	for _, pair := range [2]struct{ request, limit int }{{requestCPU, limitCPU}, {requestMemory, limitMemory}} {
		request, limit := merged[pair.request], merged[pair.limit]
		switch {
		case limit != nil && limit.IsZero():
			merged[pair.limit] = nil
		case request == nil || limit == nil || request.Cmp(*limit) <= 0:
		case s.quantities[pair.limit] == nil:
			merged[pair.limit] = request
			s.warnings = append(s.warnings, fmt.Sprintf("annotation %q = %q is above the limit %s: the limit is raised to it",
				quantityKeys[pair.request], request.String(), limit.String()))
		default:
			faults = append(faults, annotationFault(quantityKeys[pair.limit], limit.String(),
				fmt.Errorf("is below the request %s; raise it, or lower %s", request.String(), quantityKeys[pair.request])))
		}
	}
	s.resources = resourcesValue(merged)
	return faults
}

// quantitiesOf are the four places of resource requirements.
func quantitiesOf(r *corev1.ResourceRequirements) (q [4]*resource.Quantity) {
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

func resourcesValue(q [4]*resource.Quantity) *rawjson.Value {
	var members []rawjson.Member
	for _, list := range [2]struct {
		name        string
		cpu, memory int
	}{{"limits", limitCPU, limitMemory}, {"requests", requestCPU, requestMemory}} {
		var values []rawjson.Member
		if cpu := q[list.cpu]; cpu != nil {
			values = append(values, rawjson.Member{Key: "cpu", Value: rawjson.NewString(cpu.String())})
		}
		if memory := q[list.memory]; memory != nil {
			values = append(values, rawjson.Member{Key: "memory", Value: rawjson.NewString(memory.String())})
		}
		if values != nil {
			members = append(members, rawjson.Member{Key: list.name, Value: rawjson.NewObject(values...)})
		}
	}
	return rawjson.NewObject(members...)
}
