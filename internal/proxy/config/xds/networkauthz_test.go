package xds

import (
	"reflect"
	"testing"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

func TestNetworkExtAuthz(t *testing.T) {
	l, _, err := Listener(listenerYAML(t, networkOf("e", n+"ext_authz.v3.ExtAuthz", `stat_prefix: s, failure_mode_allow: true, include_peer_certificate: true, include_tls_session: true,
		metadata_context_namespaces: [m], grpc_service: {timeout: 1s, envoy_grpc: {cluster_name: c, authority: a}, initial_metadata: [{key: X-A, value: b}]}, transport_api_version: V3`)), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := &config.ExtAuthz{
		StatPrefix: "s", FailureAllow: true, IncludePeer: true, TLSSession: true, Metadata: []string{"m"},
		GRPCCluster: "c", Authority: "a", Timeout: 1e9, AddHeaders: [][2]string{{"x-a", "b"}},
	}
	if got := l.Chains[0].Filters[0].Config; !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
}
