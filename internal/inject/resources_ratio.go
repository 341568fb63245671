package inject

import (
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/istio"
)

// maxSum keeps sums, and ten times their value, within 64 bits.
const maxSum = 9e17

// ratioed are the Injector's resources with those that are a share of the application's.
func ratioed(plain quantities, ratio *v1alpha1.ResourceRatio, pod pod) quantities {
	sums, set := pod.sums()
	for place, share := range [4]*v1alpha1.Ratio{ratio.Requests.CPU, ratio.Requests.Memory, ratio.Limits.CPU, ratio.Limits.Memory} {
		if share != nil && set[place] {
			plain[place] = shareOf(sums[place], share, place == requestCPU || place == limitCPU)
		}
	}
	return plain
}

// sums are what the application's containers have together: thousandths of CPU, bytes of memory; and whether any of
// them says so.
func (p pod) sums() (sums [4]int64, set [4]bool) {
	for _, c := range p.containers() {
		if nameOf(c) == istio.ContainerProxy {
			continue
		}
		for place, q := range readQuantities(c.Get("resources")) {
			if q != nil {
				set[place] = true
				sums[place] = min(sums[place]+units(q, place), maxSum)
			}
		}
	}
	return sums, set
}

// units of a quantity: parseQuantity has seen to it that they fit.
func units(q *resource.Quantity, place int) int64 {
	if place == requestCPU || place == limitCPU {
		return min(q.MilliValue(), maxSum)
	}
	return min(q.Value(), maxSum)
}

func shareOf(sum int64, share *v1alpha1.Ratio, cpu bool) *resource.Quantity {
	percent := int64(share.Percent)
	part := sum/100*percent + sum%100*percent/100
	q := resource.NewQuantity(part, resource.BinarySI)
	if cpu {
		q = resource.NewMilliQuantity(part, resource.DecimalSI)
	}
	if share.Min != nil && q.Cmp(*share.Min) < 0 {
		q = share.Min
	}
	if share.Max != nil && q.Cmp(*share.Max) > 0 {
		q = share.Max
	}
	return q
}
