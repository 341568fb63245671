package source

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	corsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/cors/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	rsc "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/pillion-mesh/pillion/internal/proxy/config/source/dump"
	"github.com/pillion-mesh/pillion/internal/proxy/config/source/sizes"
	"github.com/pillion-mesh/pillion/internal/proxy/config/xds"
)

const realBootstrap = `{
 "node": {"id": "node", "cluster": "c", "metadata": {"ISTIO_VERSION": "1.30.0"}},
 "dynamic_resources": {
  "lds_config": {"ads": {}, "initial_fetch_timeout": "0s", "resource_api_version": "V3"},
  "cds_config": {"ads": {}, "initial_fetch_timeout": "0s", "resource_api_version": "V3"},
  "ads_config": {"api_type": "DELTA_GRPC", "transport_api_version": "V3", "set_node_on_first_message_only": true,
   "grpc_services": [{"envoy_grpc": {"cluster_name": "xds-grpc"}}]}
 },
 "static_resources": {"clusters": [{"name": "xds-grpc", "type": "STATIC", "connect_timeout": "1s",
  "load_assignment": {"cluster_name": "xds-grpc", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"pipe": {"path": "%s"}}}}]}]},
  "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
   "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions", "explicit_http_config": {"http2_protocol_options": {}}}}}]}
}`

func unpacked[T proto.Message](t *testing.T, n sizes.Named, into T) T {
	t.Helper()
	if err := n.Body.UnmarshalTo(into); err != nil {
		t.Fatal(err)
	}
	return into
}

// TestRealResources: a bootstrap like Istio's, a control plane behind its Unix socket, resources like istiod's, our
// decoders; and the dump shows each message as it was sent.
func TestRealResources(t *testing.T) {
	path := t.TempDir() + "/xds.sock"
	plane := &controlPlane{cache: cache.NewSnapshotCache(false, cache.IDHash{}, nil)}
	plane.start(t, "unix", path)
	defer plane.stop()
	secret, err := sizes.Secret("default")
	if err != nil {
		t.Fatal(err)
	}
	sent := map[rsc.Type][]types.Resource{rsc.SecretType: {unpacked(t, secret, &tlsv3.Secret{})}}
	for i := range 3 {
		sent[rsc.ClusterType] = append(sent[rsc.ClusterType], unpacked(t, sizes.Cluster(i), &clusterv3.Cluster{}))
		sent[rsc.EndpointType] = append(sent[rsc.EndpointType], unpacked(t, sizes.Endpoints(i, 2, 0), &endpointv3.ClusterLoadAssignment{}))
	}
	sent[rsc.ListenerType] = []types.Resource{unpacked(t, sizes.Listener("0.0.0.0_80", "0.0.0.0", 80, "80"), &listenerv3.Listener{})}
	sent[rsc.RouteType] = []types.Resource{unpacked(t, sizes.Routes("80", 0, 3), &routev3.RouteConfiguration{})}
	plane.set(t, "1", sent)

	b, err := xds.Bootstrap([]byte(fmt.Sprintf(realBootstrap, path)))
	if err != nil {
		t.Fatal(err)
	}
	s := run(t, b, Decoders{})
	eventually(t, "ready", s.Ready)
	var out bytes.Buffer
	if err := s.Dump(&out, dump.Query{IncludeEDS: true}); err != nil {
		t.Fatal(err)
	}
	var d adminv3.ConfigDump
	if err := protojson.Unmarshal(out.Bytes(), &d); err != nil {
		t.Fatal(err)
	}
	shown := everything(t, &d)
	for _, each := range sent {
		for _, m := range each {
			want, err := anypb.New(m.(proto.Message))
			if err != nil {
				t.Fatal(err)
			}
			got := shown[want.GetTypeUrl()+" "+cache.GetResourceName(m)]
			if got == nil || !proto.Equal(got, m.(proto.Message)) {
				t.Errorf("sent %v\nshown %v", m, got)
			}
		}
	}
	if !strings.Contains(out.String(), `"ISTIO_VERSION": "1.30.0"`) {
		t.Error("the bootstrap isn't shown")
	}
}

// everything unpacks all resources of a dump, by type and name.
func everything(t *testing.T, d *adminv3.ConfigDump) map[string]proto.Message {
	t.Helper()
	all := map[string]proto.Message{}
	add := func(a *anypb.Any) {
		m, err := a.UnmarshalNew()
		if err != nil {
			t.Fatal(err)
		}
		all[a.GetTypeUrl()+" "+cache.GetResourceName(m)] = m
	}
	for _, section := range d.GetConfigs() {
		m, err := section.UnmarshalNew()
		if err != nil {
			t.Fatal(err)
		}
		switch m := m.(type) {
		case *adminv3.ClustersConfigDump:
			for _, each := range m.GetDynamicActiveClusters() {
				add(each.GetCluster())
			}
		case *adminv3.ListenersConfigDump:
			for _, each := range m.GetDynamicListeners() {
				add(each.GetActiveState().GetListener())
			}
		case *adminv3.RoutesConfigDump:
			for _, each := range m.GetDynamicRouteConfigs() {
				add(each.GetRouteConfig())
			}
		case *adminv3.EndpointsConfigDump:
			for _, each := range m.GetDynamicEndpointConfigs() {
				add(each.GetEndpointConfig())
			}
		case *adminv3.SecretsConfigDump:
			for _, each := range m.GetDynamicActiveSecrets() {
				add(each.GetSecret())
			}
		}
	}
	return all
}

func TestExtensionOfAnotherType(t *testing.T) {
	packed, err := anypb.New(&corsv3.Cors{})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := proto.Marshal(&corev3.TypedExtensionConfig{Name: "x", TypedConfig: packed})
	if err != nil {
		t.Fatal(err)
	}
	s, _, _ := toySource(t)
	e := &entry{resource: resource{extensions, "x"}}
	for _, c := range []struct {
		types []string
		want  string
	}{
		{nil, ""}, {[]string{packed.GetTypeUrl()}, ""},
		{[]string{"a.B"}, "is of type " + packed.GetTypeUrl() + ", wanted a.B"},
	} {
		s.wanted[extensions]["x"] = want{types: c.types}
		if got := text(s.expected(e, raw)); got != c.want {
			t.Errorf("%v: %q", c.types, got)
		}
	}
}
