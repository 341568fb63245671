package inject

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
	"github.com/pillion-mesh/pillion/internal/istio"
)

// Allowance is what a namespace leaves its pods: its LimitRanges and ResourceQuotas. The API server looks at them after
// the webhooks, and what it then says names neither the sidecar nor what to do about it.
type Allowance struct {
	Ranges []corev1.LimitRange
	Quotas []corev1.ResourceQuota
}

// amounts are a container's, by place. A request that isn't set is the limit's, as the API server has it.
func amounts(container *rawjson.Value) quantities {
	q := readQuantities(container.Get("resources"))
	for request, limit := range map[int]int{requestCPU: limitCPU, requestMemory: limitMemory} {
		if q[request] == nil {
			q[request] = q[limit]
		}
	}
	return q
}

// complaints foretell a refusal of an injected pod that is the sidecar's fault. What to do comes first, and names, which
// may be long, last: the webhook cuts warnings.
func (a Allowance) complaints(spec *rawjson.Value) []string {
	if len(a.Ranges)+len(a.Quotas) == 0 {
		return nil
	}
	ours := ourContainers(spec)
	var texts []string
	for i := range a.Ranges {
		for j := range a.Ranges[i].Spec.Limits {
			texts = append(texts, rangeComplaints(a.Ranges[i].Name, &a.Ranges[i].Spec.Limits[j], ours)...)
		}
	}
	if spec.Has("resources") { // then quotas count those, not the containers'
		return texts
	}
	for i := range a.Quotas {
		texts = append(texts, quotaComplaints(&a.Quotas[i], spec)...)
	}
	return texts
}

// ourContainers are istio-proxy, then istio-init.
func ourContainers(spec *rawjson.Value) (ours []*rawjson.Value) {
	all := slices.Concat(spec.Get("containers").Items(), spec.Get("initContainers").Items())
	for _, name := range [2]string{istio.ContainerProxy, istio.ContainerInit} {
		if c := byName(all, name); c != nil {
			ours = append(ours, c)
		}
	}
	return ours
}

func isOurs(container *rawjson.Value) bool {
	name := nameOf(container)
	return name == istio.ContainerProxy || name == istio.ContainerInit
}

// rangeComplaints are about what each container may have: one for each place, since both of ours have the same. Those
// over a whole pod are left to the API server, whose message is about the pod.
func rangeComplaints(name string, item *corev1.LimitRangeItem, ours []*rawjson.Value) (texts []string) {
	if item.Type != corev1.LimitTypeContainer {
		return nil
	}
	for place := range quantityPlaces {
		for _, c := range ours {
			if broken := breaks(item, amounts(c)[place], place); broken != "" {
				texts = append(texts, fmt.Sprintf("set %s: %s's %s of LimitRange %s", quantityKeys[place], nameOf(c), broken, name))
				break
			}
		}
	}
	return texts
}

// breaks says which bound an amount breaks; "" if none.
func breaks(item *corev1.LimitRangeItem, has *resource.Quantity, place int) string {
	if has == nil {
		return ""
	}
	list, of := quantityPlaces[place][0], corev1.ResourceName(quantityPlaces[place][1])
	if most, ok := item.Max[of]; ok && has.Cmp(most) > 0 {
		return fmt.Sprintf("%s.%s %s > max %s", list, of, has.String(), most.String())
	}
	if least, ok := item.Min[of]; ok && has.Cmp(least) < 0 {
		return fmt.Sprintf("%s.%s %s < min %s", list, of, has.String(), least.String())
	}
	return ""
}

// quotaComplaints are about a pod that would fit without the sidecar. Quotas for some pods only are left alone.
func quotaComplaints(quota *corev1.ResourceQuota, spec *rawjson.Value) (texts []string) {
	if len(quota.Spec.Scopes) > 0 || quota.Spec.ScopeSelector != nil {
		return nil
	}
	for place := range quantityPlaces {
		left, bounded := remaining(quota, place)
		if !bounded {
			continue
		}
		total, sidecar := needs(spec, place)
		if total.Cmp(left) <= 0 {
			continue
		}
		without := total.DeepCopy()
		without.Sub(sidecar)
		if without.Cmp(left) <= 0 {
			texts = append(texts, fmt.Sprintf("set %s: %s.%s %s, %s of it the sidecar's > %s left of ResourceQuota %s", quantityKeys[place],
				quantityPlaces[place][0], quantityPlaces[place][1], total.String(), sidecar.String(), left.String(), quota.Name))
		}
	}
	return texts
}

// remaining is what a quota has left of one place; "cpu" and "memory" alone mean requests.
func remaining(quota *corev1.ResourceQuota, place int) (left resource.Quantity, bounded bool) {
	list, of := quantityPlaces[place][0], corev1.ResourceName(quantityPlaces[place][1])
	names := []corev1.ResourceName{corev1.ResourceName(list+".") + of}
	if list == "requests" {
		names = append(names, of)
	}
	for _, name := range names {
		hard, ok := quota.Status.Hard[name]
		if !ok {
			continue
		}
		rest := hard.DeepCopy()
		rest.Sub(quota.Status.Used[name])
		if !bounded || rest.Cmp(left) < 0 {
			left, bounded = rest, true
		}
	}
	return left, bounded
}

// needs is what a pod wants in one place while it runs: its containers and the init containers that stay.
func needs(spec *rawjson.Value, place int) (total, sidecar resource.Quantity) {
	for _, c := range runningContainers(spec) {
		q := amounts(c)[place]
		if q == nil {
			continue
		}
		total.Add(*q)
		if isOurs(c) {
			sidecar.Add(*q)
		}
	}
	return total, sidecar
}

func runningContainers(spec *rawjson.Value) []*rawjson.Value {
	all := slices.Clone(spec.Get("containers").Items())
	for _, c := range spec.Get("initContainers").Items() {
		if c.Get("restartPolicy").Text() == "Always" {
			all = append(all, c)
		}
	}
	return all
}
