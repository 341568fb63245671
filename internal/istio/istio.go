// Package istio holds the names Pillion shares with Istio, so that users' labels, dashboards, scripts and bootstraps
// keep working: label and annotation keys, container names, ports, paths. It is a leaf: standard library only.
package istio

// Labels that select what is injected. Both spellings of an answer are always accepted.
const (
	LabelInjection = "istio-injection"         // on namespaces: enabled or disabled
	LabelRevision  = "istio.io/rev"            // on namespaces and pods: the Injector's revision
	LabelTag       = "istio.io/tag"            // on webhook configurations
	LabelInject    = "sidecar.istio.io/inject" // on pods; as an annotation deprecated
)

// Containers of an injected pod.
const (
	ContainerInit  = "istio-init"
	ContainerProxy = "istio-proxy"
)

// ProxyUID is the user and group the sidecar runs as; capture tells the proxy's own traffic by it.
const ProxyUID = 1337

// Ports of the sidecar inside a pod.
const (
	PortAdmin       = 15000 // proxy admin, loopback only
	PortOutbound    = 15001 // captured outbound TCP
	PortProbe       = 15002 // never served; capture's probes dial it
	PortInbound     = 15006 // captured inbound TCP
	PortTunnel      = 15008 // HBONE, never captured
	PortStatus      = 15020 // agent: ops API, probes, merged metrics
	PortReady       = 15021 // readiness
	PortDNS         = 15053
	PortProxyStats  = 15090 // proxy metrics
	PortWebhook     = 15017 // operator: admission, behind Service port 443
	PortOperatorOps = 15014 // operator: metrics, health
)

// Source addresses from which the proxy delivers inbound traffic to the application: capture lets them pass.
const (
	PassthroughV4 = "127.0.0.6"
	PassthroughV6 = "::6"
)

// TProxyMark is on packets that TPROXY leads to the proxy, and on what the proxy sends in its clients' names.
const TProxyMark = 1337

// Paths of HTTP endpoints.
const (
	PathReady      = "/healthz/ready"
	PathPrometheus = "/stats/prometheus"
)
