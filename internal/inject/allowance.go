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

// amount is one of the four places of resources.
type amount struct {
	list       string // requests or limits
	resource   corev1.ResourceName
	annotation string
}

var amounts = [4]amount{
	{"requests", corev1.ResourceCPU, istio.AnnotationProxyCPU},
	{"requests", corev1.ResourceMemory, istio.AnnotationProxyMemory},
	{"limits", corev1.ResourceCPU, istio.AnnotationProxyCPULimit},
	{"limits", corev1.ResourceMemory, istio.AnnotationProxyMemoryLimit},
}

// of is a container's amount. A request that isn't set is the limit's, as the API server has it.
func (a amount) of(container *rawjson.Value) (resource.Quantity, bool) {
	q, set := quantityAt(container, "resources", a.list, string(a.resource))
	if !set && a.list == "requests" {
		return quantityAt(container, "resources", "limits", string(a.resource))
	}
	return q, set
}

func quantityAt(v *rawjson.Value, path ...string) (resource.Quantity, bool) {
	at := v.Get(path...)
	text := at.Text()
	if at != nil && at.Kind() == rawjson.Number {
		text = at.Raw()
	}
	q, err := resource.ParseQuantity(text)
	return q, err == nil
}

// complaints foretell a refusal of an injected pod that is the sidecar's fault.
func (a Allowance) complaints(spec *rawjson.Value) []string {
	if len(a.Ranges)+len(a.Quotas) == 0 {
		return nil
	}
	var ours []*rawjson.Value
	for _, c := range slices.Concat(spec.Get("initContainers").Items(), spec.Get("containers").Items()) {
		if isOurs(c) {
			ours = append(ours, c)
		}
	}
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

func isOurs(container *rawjson.Value) bool {
	name := nameOf(container)
	return name == istio.ContainerProxy || name == istio.ContainerInit
}

// rangeComplaints are about what each container may have. Those over a whole pod are left to the API server, whose
// message is about the pod.
func rangeComplaints(name string, item *corev1.LimitRangeItem, ours []*rawjson.Value) (texts []string) {
	if item.Type != corev1.LimitTypeContainer {
		return nil
	}
	for _, c := range ours {
		for _, a := range amounts {
			has, set := a.of(c)
			if !set {
				continue
			}
			what, bound := "", resource.Quantity{}
			if most, ok := item.Max[a.resource]; ok && has.Cmp(most) > 0 {
				what, bound = "above the max", most
			} else if least, ok := item.Min[a.resource]; ok && has.Cmp(least) < 0 {
				what, bound = "below the min", least
			}
			if what != "" {
				texts = append(texts, fmt.Sprintf("LimitRange %s: the %s.%s %s of %s is %s %s; set %s",
					name, a.list, a.resource, has.String(), nameOf(c), what, bound.String(), a.annotation))
			}
		}
	}
	return texts
}

// quotaComplaints are about a pod that would fit without the sidecar. Quotas for some pods only are left alone.
func quotaComplaints(quota *corev1.ResourceQuota, spec *rawjson.Value) (texts []string) {
	if len(quota.Spec.Scopes) > 0 || quota.Spec.ScopeSelector != nil {
		return nil
	}
	for _, a := range amounts {
		left, bounded := remaining(quota, a)
		if !bounded {
			continue
		}
		total, sidecar := a.sum(spec)
		if total.Cmp(left) <= 0 {
			continue
		}
		without := total.DeepCopy()
		without.Sub(sidecar)
		if without.Cmp(left) <= 0 {
			texts = append(texts, fmt.Sprintf("ResourceQuota %s has %s of %s.%s left: the pod needs %s, the sidecar %s of it; set %s",
				quota.Name, left.String(), a.list, a.resource, total.String(), sidecar.String(), a.annotation))
		}
	}
	return texts
}

// remaining is what a quota has left of an amount; "cpu" and "memory" alone mean requests.
func remaining(quota *corev1.ResourceQuota, a amount) (left resource.Quantity, bounded bool) {
	names := []corev1.ResourceName{corev1.ResourceName(a.list + "." + string(a.resource))}
	if a.list == "requests" {
		names = append(names, a.resource)
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

// sum is what a pod needs while it runs: its containers and the init containers that stay.
func (a amount) sum(spec *rawjson.Value) (total, sidecar resource.Quantity) {
	for _, c := range runningContainers(spec) {
		q, _ := a.of(c)
		total.Add(q)
		if isOurs(c) {
			sidecar.Add(q)
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
