package inject

import (
	"slices"

	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
	"github.com/pillion-mesh/pillion/internal/istio"
)

// portNameStats is what monitors of the sidecar look for.
const portNameStats = "http-envoy-prom"

// listened are the ports the sidecar listens on, apart from the status port.
var listened = []int64{istio.PortAdmin, istio.PortOutbound, istio.PortInbound, istio.PortReady, istio.PortProxyStats}

// warnOfPorts tells of applications that declare a port of the sidecar: containers of a pod share its ports, so that one
// of the two doesn't start. It's no denial, since what is declared may be used by nobody.
func (s *settings) warnOfPorts(spec *rawjson.Value) {
	main, init := spec.Get("containers").Items(), spec.Get("initContainers").Items()
	if byName(main, istio.ContainerProxy) == nil && byName(init, istio.ContainerProxy) == nil {
		return
	}
	for _, c := range main {
		s.warnOfPortsOf(c)
	}
	for _, c := range init {
		if c.Get("restartPolicy").Text() == "Always" {
			s.warnOfPortsOf(c)
		}
	}
}

func (s *settings) warnOfPortsOf(container *rawjson.Value) {
	name := nameOf(container)
	if name == istio.ContainerProxy {
		return
	}
	for _, port := range container.Get("ports").Items() {
		s.warnOfPort(name, port)
	}
}

func (s *settings) warnOfPort(container string, port *rawjson.Value) {
	n, _ := number(port.Get("containerPort"))
	protocol := port.Get("protocol").Text()
	switch {
	case n != 0 && (protocol == "" || protocol == "TCP") && (n == s.statusPort || slices.Contains(listened, n)):
		s.warn("port %d of container %q is one the sidecar listens on: one of them won't start; choose another", n, container)
	case port.Get("name").Text() == portNameStats:
		s.warn("port name %s of container %q is the sidecar's: monitors may read either; choose another", portNameStats, container)
	}
}
