package inject

import (
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/istio"
)

// padResources makes room for the sidecar in resources set for the whole pod (spec.resources): what is set there is
// raised by what the proxy has of it. Without, the proxy would live on the application's, and where its requests don't
// fit, the API server refuses the pod.
func (a *assembly) padResources() {
	whole := a.spec.Get("resources")
	if len(whole.Members()) == 0 || a.vars.settings.podResources == v1alpha1.PodResourcesShare {
		return
	}
	own := readQuantities(byName(a.rendered.main, istio.ContainerProxy).Get("resources"))
	for place, set := range readQuantities(whole) {
		if more := takes(own, place); set != nil && more != nil {
			sum := set.DeepCopy()
			sum.Add(*more)
			whole = withQuantity(whole, place, &sum)
		}
	}
	a.spec = a.spec.With("resources", whole)
}

// takes is what the proxy takes of a place. Without a limit of its own it is counted by its request, without a request
// by its limit, as Kubernetes counts.
func takes(own quantities, place int) *resource.Quantity {
	if own[place] != nil {
		return own[place]
	}
	for _, pair := range pairs {
		switch place {
		case pair.request:
			return own[pair.limit]
		case pair.limit:
			return own[pair.request]
		}
	}
	return nil
}
