// Package sizes makes resources as large as a mesh's are, for measuring what holding them costs: clusters of about 800
// bytes, virtual hosts of about 430, endpoints of about 130. Only tests and test/bench/xds use it.
package sizes

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	managerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	rawv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/raw_buffer/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	upstreamv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// Named is a resource with its name.
type Named struct {
	Name string
	Body *anypb.Any
}

func host(i int) string { return fmt.Sprintf("service-%d.namespace-%d.svc.cluster.local", i, i%50) }

func clusterName(i int) string { return "outbound|8080||" + host(i) }

// Cluster is the i-th cluster, as istiod makes it: EDS, mutual TLS by endpoint metadata, breakers.
func Cluster(i int) Named {
	istio := text(map[string]any{"services": []any{map[string]any{"host": host(i), "name": fmt.Sprintf("service-%d", i), "namespace": fmt.Sprintf("namespace-%d", i%50)}}})
	c := &clusterv3.Cluster{
		Name: clusterName(i), ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS},
		EdsClusterConfig: &clusterv3.Cluster_EdsClusterConfig{EdsConfig: fromADS(), ServiceName: clusterName(i)},
		ConnectTimeout:   durationpb.New(10 * time.Second), LbPolicy: clusterv3.Cluster_LEAST_REQUEST,
		CircuitBreakers: &clusterv3.CircuitBreakers{Thresholds: []*clusterv3.CircuitBreakers_Thresholds{{
			MaxConnections: wrapperspb.UInt32(1 << 31), MaxPendingRequests: wrapperspb.UInt32(1 << 31), MaxRequests: wrapperspb.UInt32(1 << 31), MaxRetries: wrapperspb.UInt32(1 << 31), TrackRemaining: true,
		}}},
		CommonLbConfig: &clusterv3.Cluster_CommonLbConfig{},
		Metadata:       &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{"istio": istio}},
		TypedExtensionProtocolOptions: map[string]*anypb.Any{"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": pack(&upstreamv3.HttpProtocolOptions{
			UpstreamProtocolOptions: &upstreamv3.HttpProtocolOptions_UseDownstreamProtocolConfig{UseDownstreamProtocolConfig: &upstreamv3.HttpProtocolOptions_UseDownstreamHttpConfig{}},
		})},
		TransportSocketMatches: []*clusterv3.Cluster_TransportSocketMatch{
			{Name: "tlsMode-istio", Match: text(map[string]any{"tlsMode": "istio"}), TransportSocket: socket("tls", &tlsv3.UpstreamTlsContext{
				Sni: fmt.Sprintf("outbound_.8080_._.%s", host(i)),
				CommonTlsContext: &tlsv3.CommonTlsContext{AlpnProtocols: []string{"istio-peer-exchange", "istio"},
					TlsCertificateSdsSecretConfigs: []*tlsv3.SdsSecretConfig{{Name: "default", SdsConfig: fromADS()}}},
			})},
			{Name: "tlsMode-disabled", Match: &structpb.Struct{}, TransportSocket: socket("raw_buffer", &rawv3.RawBuffer{})},
		},
	}
	return Named{c.GetName(), pack(c)}
}

// Endpoints is the load assignment of the i-th cluster with n endpoints; the round changes a weight.
func Endpoints(i, n, round int) Named {
	a := &endpointv3.ClusterLoadAssignment{ClusterName: clusterName(i)}
	group := &endpointv3.LocalityLbEndpoints{Locality: &corev3.Locality{Region: "region-1", Zone: "zone-a"}}
	for e := range n {
		address := fmt.Sprintf("10.%d.%d.%d", 1+i>>8, i&255, e+1)
		group.LbEndpoints = append(group.LbEndpoints, &endpointv3.LbEndpoint{
			HealthStatus: corev3.HealthStatus_HEALTHY, LoadBalancingWeight: wrapperspb.UInt32(uint32(1 + round%2)),
			HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: socketAddress(address, 8080)}},
			Metadata: &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{
				"envoy.transport_socket_match": text(map[string]any{"tlsMode": "istio"}),
				"istio":                        text(map[string]any{"workload": fmt.Sprintf("service-%d;namespace-%d;service-%d;v1;c", i, i%50, i)}),
			}},
		})
	}
	a.Endpoints = append(a.Endpoints, group)
	return Named{a.GetClusterName(), pack(a)}
}

// Routes is a route table with n virtual hosts, from the first on.
func Routes(name string, first, n int) Named {
	t := &routev3.RouteConfiguration{Name: name, ValidateClusters: wrapperspb.Bool(false), IgnorePortInHostMatching: true, MaxDirectResponseBodySizeBytes: wrapperspb.UInt32(1 << 20)}
	for i := range n {
		t.VirtualHosts = append(t.VirtualHosts, virtualHost(first+i))
	}
	return Named{name, pack(t)}
}

func virtualHost(i int) *routev3.VirtualHost {
	short := fmt.Sprintf("service-%d.namespace-%d", i, i%50)
	return &routev3.VirtualHost{
		Name: host(i) + ":8080", Domains: []string{host(i), short + ".svc", short, fmt.Sprintf("10.96.%d.%d", i>>8, i&255)}, IncludeRequestAttemptCount: true,
		Routes: []*routev3.Route{{
			Name: "default", Match: &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}},
			Decorator: &routev3.Decorator{Operation: host(i) + ":8080/*"},
			Action: &routev3.Route_Route{Route: &routev3.RouteAction{
				ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: clusterName(i)}, Timeout: durationpb.New(0),
				RetryPolicy:       &routev3.RetryPolicy{RetryOn: "connect-failure,refused-stream,unavailable,cancelled", NumRetries: wrapperspb.UInt32(2), HostSelectionRetryMaxAttempts: 5},
				MaxStreamDuration: &routev3.RouteAction_MaxStreamDuration{MaxStreamDuration: durationpb.New(0), GrpcTimeoutHeaderMax: durationpb.New(0)},
			}},
		}},
	}
}

// Listener is a virtual HTTP listener whose routes come by RDS.
func Listener(name, address string, port uint32, table string) Named {
	m := &managerv3.HttpConnectionManager{
		StatPrefix: name, RouteSpecifier: &managerv3.HttpConnectionManager_Rds{Rds: &managerv3.Rds{RouteConfigName: table, ConfigSource: fromADS()}},
		HttpFilters: []*managerv3.HttpFilter{{Name: "envoy.filters.http.router", ConfigType: &managerv3.HttpFilter_TypedConfig{TypedConfig: pack(&routerv3.Router{})}}},
	}
	l := &listenerv3.Listener{Name: name, Address: socketAddress(address, port), BindToPort: wrapperspb.Bool(false), FilterChains: []*listenerv3.FilterChain{{
		Filters: []*listenerv3.Filter{{Name: "envoy.filters.network.http_connection_manager", ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: pack(m)}}},
	}}}
	return Named{name, pack(l)}
}

// Secret is a validation context with a root of its own: it needs no key.
func Secret(name string) (Named, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Named{}, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return Named{}, err
	}
	root := &corev3.DataSource{Specifier: &corev3.DataSource_InlineBytes{InlineBytes: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}}
	return Named{name, pack(&tlsv3.Secret{Name: name, Type: &tlsv3.Secret_ValidationContext{ValidationContext: &tlsv3.CertificateValidationContext{TrustedCa: root}}})}, nil
}

func socket(name string, m proto.Message) *corev3.TransportSocket {
	return &corev3.TransportSocket{Name: "envoy.transport_sockets." + name, ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: pack(m)}}
}

func socketAddress(address string, port uint32) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{Address: address, PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: port}}}}
}

func fromADS() *corev3.ConfigSource {
	return &corev3.ConfigSource{ResourceApiVersion: corev3.ApiVersion_V3, InitialFetchTimeout: durationpb.New(0), ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}}}
}

// text and pack can't fail for what this package gives them.
func text(m map[string]any) *structpb.Struct {
	s, err := structpb.NewStruct(m)
	if err != nil {
		return nil
	}
	return s
}

func pack(m proto.Message) *anypb.Any {
	a, err := anypb.New(m)
	if err != nil {
		return nil
	}
	return a
}
