package xds

import "github.com/pillion-mesh/pillion/internal/proxy/config"

// io.istio.http.peer_metadata.Config.
var (
	istioHeaders = []field{{number: 1, name: "skip_external_clusters", kind: asBool}}
	discovery    = []field{
		{number: 1, name: "baggage", kind: asMessage},
		{number: 2, name: "workload_discovery", kind: asMessage},
		{number: 3, name: "istio_headers", kind: asMessage, message: istioHeaders},
	}
	propagation = []field{{number: 1, name: "istio_headers", kind: asMessage, message: istioHeaders}}
	peerSchema  = []field{
		{number: 1, name: "downstream_discovery", kind: asMessage, repeated: true, message: discovery},
		{number: 2, name: "upstream_discovery", kind: asMessage, repeated: true, message: discovery},
		{number: 3, name: "downstream_propagation", kind: asMessage, repeated: true, message: propagation},
		{number: 4, name: "upstream_propagation", kind: asMessage, repeated: true, message: propagation},
		{number: 5, name: "shared_with_upstream", kind: asBool},
		{number: 6, name: "additional_labels", repeated: true},
	}
)

func (d *decoder) peerMetadata(t typed) any {
	m := d.private(t, peerSchema)
	out := &config.PeerMetadata{
		DownstreamDiscovery: ways(m.objects("downstream_discovery")),
		UpstreamDiscovery:   ways(m.objects("upstream_discovery")),
	}
	for _, p := range m.objects("downstream_propagation") {
		out.DownstreamPropagation = out.DownstreamPropagation || p.has("istio_headers")
	}
	for _, p := range m.objects("upstream_propagation") {
		out.UpstreamPropagation = out.UpstreamPropagation || p.has("istio_headers")
		out.SkipExternalClusters = out.SkipExternalClusters || p.object("istio_headers").truth("skip_external_clusters")
	}
	d.noEffect(m.truth("shared_with_upstream"), "shared_with_upstream")
	d.noEffect(len(m.list("additional_labels")) > 0, "additional_labels")
	return out
}

// ways are the ways of discovery that are known; baggage is gone from Istio, too.
func ways(list []object) (out config.PeerDiscovery) {
	for _, m := range list {
		if m.has("istio_headers") {
			out |= config.PeerHeaders
		}
		if m.has("workload_discovery") {
			out |= config.PeerWorkload
		}
	}
	return out
}

// envoy.tcp.metadataexchange.config.MetadataExchange.
var exchangeSchema = []field{
	{number: 1, name: "protocol"},
	{number: 2, name: "enable_discovery", kind: asBool},
	{number: 3, name: "additional_labels", repeated: true},
}

func (d *decoder) metadataExchange(t typed) any {
	out := &config.TCPMetadataExchange{Protocol: d.private(t, exchangeSchema).text("protocol")}
	if out.Protocol == "" {
		d.failIn("protocol", "empty")
	}
	return out
}
