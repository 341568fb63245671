package inject

import (
	"slices"

	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
	"github.com/pillion-mesh/pillion/internal/istio"
)

// What users say of our containers may contradict what they left to us, and no API server takes a pod with a limit below
// its request. Then what they didn't say follows what they said.

// settled is c, a rendered container that has its user's fields already, without contradictions between the two.
func (s *settings) settled(c, own *rawjson.Value) *rawjson.Value {
	c = s.settledResources(c, own.Get("resources"))
	c = s.settledPorts(c, own.Get("ports"))
	return settledSecurity(c, own.Get("securityContext"))
}

// settledResources moves the inherited one of a request and its limit. If both are the user's, so is the mistake.
func (s *settings) settledResources(c, own *rawjson.Value) *rawjson.Value {
	said, all := readQuantities(own), readQuantities(c.Get("resources"))
	for _, pair := range pairs {
		request, limit := all[pair.request], all[pair.limit]
		if request == nil || limit == nil || request.Cmp(*limit) <= 0 {
			continue
		}
		name := quantityPlaces[pair.limit][1]
		switch {
		case said[pair.request] == nil:
			c = c.With("resources", withQuantity(c.Get("resources"), pair.request, limit))
			s.warn("container %q: its own %s limit %s is below the request %s: the request is lowered to it", nameOf(c), name, limit, request)
		case said[pair.limit] == nil:
			c = c.With("resources", withQuantity(c.Get("resources"), pair.limit, request))
			s.warn("container %q: its own %s request %s is above the limit %s: the limit is raised to it", nameOf(c), name, request, limit)
		}
	}
	return c
}

// settledPorts takes a name from our port if the user's has it: ports of one container can't share one.
func (s *settings) settledPorts(c, own *rawjson.Value) *rawjson.Value {
	schema := containerSchema.field("ports")
	ports := slices.Clone(c.Get("ports").Items())
	changed := false
	for i, port := range ports {
		theirs := byName(own.Items(), nameOf(port))
		if nameOf(port) != "" && theirs != nil && schema.keyOf(theirs) != schema.keyOf(port) {
			ports[i], changed = port.With("name", nil), true
			s.warn("container %q: its own port has the name %q, so the sidecar's has none", nameOf(c), cut(nameOf(port), shown))
		}
	}
	if !changed {
		return c
	}
	return c.With("ports", rawjson.NewList(ports...))
}

// settledSecurity drops what root, or a process that may do anything, can't be told.
func settledSecurity(c, own *rawjson.Value) *rawjson.Value {
	security := c.Get("securityContext")
	uid, hasUID := number(own.Get("runAsUser"))
	if hasUID && uid == 0 && !own.Has("runAsNonRoot") && security.Get("runAsNonRoot").True() {
		security = security.With("runAsNonRoot", nil)
	}
	if mayAnything(own) && !own.Has("allowPrivilegeEscalation") && security.Has("allowPrivilegeEscalation") {
		security = security.With("allowPrivilegeEscalation", nil)
	}
	if security == c.Get("securityContext") {
		return c
	}
	return c.With("securityContext", security)
}

func mayAnything(security *rawjson.Value) bool {
	return security.Get("privileged").True() || slices.ContainsFunc(security.Get("capabilities", "add").Items(), func(c *rawjson.Value) bool {
		return c.Text() == "SYS_ADMIN" || c.Text() == "CAP_SYS_ADMIN"
	})
}

// placed is the user's container for the list ours ends up in: only init containers may restart always, and the proxy of
// a pod that isn't to have a native one is none.
func (s *settings) placed(own *rawjson.Value) *rawjson.Value {
	if nameOf(own) != istio.ContainerProxy || s.native || !own.Has("restartPolicy") {
		return own
	}
	s.warn("container %q: restartPolicy is left out, since the sidecar is no native one in this pod; see annotation %s", nameOf(own), istio.AnnotationNativeSidecar)
	return own.With("restartPolicy", nil)
}
