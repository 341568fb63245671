package xds

import (
	"reflect"
	"strings"
	"testing"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// filtersFirst is a listener with listener filters as YAML, each a message and its fields.
func filtersFirst(filters ...string) string {
	var list []string
	for _, f := range filters {
		list = append(list, `{name: x, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.`+f+"}}")
	}
	return listenerOf("listener_filters: [" + strings.Join(list, ", ") + "]\nfilter_chains: [" + tcpChain + "]")
}

const proxyFilter = "proxy_protocol.v3.ProxyProtocol"

func TestProxyProtocol(t *testing.T) {
	for text, want := range map[string]config.Inspector{
		proxyFilter: {Kind: config.ProxyProtocolFilter, Proxy: &config.ProxyProtocol{}},
		proxyFilter + `, allow_requests_without_proxy_protocol: true, disallowed_versions: [V2], stat_prefix: s, pass_through_tlvs: {match_type: INCLUDE, tlv_type: [1, 234]},
			rules: [{tlv_type: 234, on_tlv_present: {key: k}}, {tlv_type: 235, on_tlv_present: {metadata_namespace: n, key: l, value_string_encoding: BASE64}}]`: {Kind: config.ProxyProtocolFilter, Proxy: &config.ProxyProtocol{
			Optional: true, NoV2: true, StatPrefix: "s", Pass: &config.TLVPass{Types: []byte{1, 234}},
			Rules: []config.TLVRule{{Type: 234, Namespace: tlvNamespace, Key: "k"}, {Type: 235, Namespace: "n", Key: "l", Base64: true}}}},
		proxyFilter + ", pass_through_tlvs: {}, disallowed_versions: [V1]": {Kind: config.ProxyProtocolFilter, Proxy: &config.ProxyProtocol{NoV1: true, Pass: &config.TLVPass{All: true}}},
		"original_src.v3.OriginalSrc, mark: 7, bind_port: true":            {Kind: config.OriginalSourceFilter, Source: &config.OriginalSource{Mark: 7, Port: true}},
	} {
		l, needs, err := Listener(listenerYAML(t, filtersFirst(text, "tls_inspector.v3.TlsInspector")), nil)
		if err != nil || notes(needs) != nil || !reflect.DeepEqual(l.Inspectors[0], want) {
			t.Errorf("%s: %+v, %v, %v", text, l, notes(needs), err)
		}
	}
}

func TestProxyProtocolRefused(t *testing.T) {
	for want, filters := range map[string][]string{
		"tlv_location (x): FILTER_STATE is not supported": {proxyFilter + ", tlv_location: FILTER_STATE"},
		"on_tlv_present.key (x): empty":                   {proxyFilter + ", rules: [{tlv_type: 1, on_tlv_present: {}}]"},
		"rules[0] (x): TLV type 256 is above 255":         {proxyFilter + ", rules: [{tlv_type: 256, on_tlv_present: {key: k}}]"},
		"TLV type 300 is above 255":                       {proxyFilter + ", pass_through_tlvs: {match_type: INCLUDE, tlv_type: [300]}"},
		"listener_filters[1] (x): behind a filter that":   {"tls_inspector.v3.TlsInspector", proxyFilter},
		"listener_filters[1] (x): there are two of them":  {proxyFilter, proxyFilter},
	} {
		if _, _, err := Listener(listenerYAML(t, filtersFirst(filters...)), nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// TestHostTLVs: an endpoint's own TLVs are read; what can't be taken for them is noted and left out.
func TestHostTLVs(t *testing.T) {
	for text, want := range map[string]*config.ProxyHeader{
		`{"@type": type.googleapis.com/envoy.config.core.v3.PerHostConfig, added_tlvs: [{type: 1, value: eA==}, {type: 255}]}`: {Added: []config.ProxyTLV{{Type: 1, Value: []byte("x")}, {Type: 255}}},
		`{"@type": type.googleapis.com/envoy.config.core.v3.Node}`:                                                             nil,
	} {
		e, needs, err := Endpoints(endpointsYAML(t, `{cluster_name: c, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 10.0.0.1, port_value: 80}}},
			metadata: {typed_filter_metadata: {envoy.transport_sockets.proxy_protocol: `+text+`}}}]}]}`))
		if err != nil || (len(notes(needs)) == 0) != (want != nil) || !reflect.DeepEqual(e.Localities[0].Hosts[0].Header, want) {
			t.Errorf("%s: %v, %v", text, notes(needs), err)
		}
	}
}
