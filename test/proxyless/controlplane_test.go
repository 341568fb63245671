package proxyless

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	serverv3 "github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// service is what the application asks for.
const service = "pay.shop.svc.cluster.local:7070"

// controlPlane serves one service over ADS and remembers who asked.
type controlPlane struct {
	mu     sync.Mutex
	node   *corev3.Node
	tokens []string
}

func (p *controlPlane) asked() (*corev3.Node, []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.node, p.tokens
}

// everybody is served the same.
type everybody struct{}

func (everybody) ID(*corev3.Node) string { return "all" }

// start serves until the test ends and returns the address.
func (p *controlPlane) start(t *testing.T, backend net.Addr, options ...grpc.ServerOption) string {
	t.Helper()
	resources := cache.NewSnapshotCache(true, everybody{}, nil)
	if err := resources.SetSnapshot(t.Context(), "all", snapshot(t, backend)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	return serve(t, func(s *grpc.Server) {
		discoveryv3.RegisterAggregatedDiscoveryServiceServer(s, serverv3.NewServer(ctx, resources, serverv3.CallbackFuncs{
			StreamOpenFunc: func(ctx context.Context, _ int64, _ string) error {
				m, _ := metadata.FromIncomingContext(ctx)
				p.mu.Lock()
				defer p.mu.Unlock()
				p.tokens = append(p.tokens, strings.Join(m.Get("authorization"), ","))
				return nil
			},
			StreamRequestFunc: func(_ int64, r *discoveryv3.DiscoveryRequest) error {
				p.mu.Lock()
				defer p.mu.Unlock()
				if r.Node.GetId() != "" {
					p.node = r.Node
				}
				return nil
			},
		}))
	}, options...).String()
}

// startBackend is the application that is asked.
func startBackend(t *testing.T) net.Addr {
	t.Helper()
	return serve(t, func(s *grpc.Server) { healthpb.RegisterHealthServer(s, health.NewServer()) })
}

func serve(t *testing.T, register func(*grpc.Server), options ...grpc.ServerOption) net.Addr {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(options...)
	register(server)
	var served sync.WaitGroup
	served.Go(func() { _ = server.Serve(l) })
	t.Cleanup(func() { server.Stop(); served.Wait() })
	return l.Addr()
}

func snapshot(t *testing.T, backend net.Addr) *cache.Snapshot {
	t.Helper()
	ads := &corev3.ConfigSource{ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}}, ResourceApiVersion: corev3.ApiVersion_V3}
	manager := &hcmv3.HttpConnectionManager{
		RouteSpecifier: &hcmv3.HttpConnectionManager_Rds{Rds: &hcmv3.Rds{ConfigSource: ads, RouteConfigName: "route"}},
		HttpFilters:    []*hcmv3.HttpFilter{{Name: "router", ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: anyOf(t, &routerv3.Router{})}}},
	}
	route := &routev3.RouteConfiguration{Name: "route", VirtualHosts: []*routev3.VirtualHost{{
		Name: service, Domains: []string{service}, Routes: []*routev3.Route{{
			Match:  &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{}},
			Action: &routev3.Route_Route{Route: &routev3.RouteAction{ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: "pay"}}},
		}},
	}}}
	cluster := &clusterv3.Cluster{
		Name: "pay", ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS},
		EdsClusterConfig: &clusterv3.Cluster_EdsClusterConfig{EdsConfig: ads}, ConnectTimeout: durationpb.New(10 * time.Second),
	}
	s, err := cache.NewSnapshot("1", map[resourcev3.Type][]types.Resource{
		resourcev3.ListenerType: {&listenerv3.Listener{Name: service, ApiListener: &listenerv3.ApiListener{ApiListener: anyOf(t, manager)}}},
		resourcev3.RouteType:    {route},
		resourcev3.ClusterType:  {cluster},
		resourcev3.EndpointType: {endpoints(backend.(*net.TCPAddr))},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func endpoints(at *net.TCPAddr) *endpointv3.ClusterLoadAssignment {
	address := &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address: at.IP.String(), PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(at.Port)},
	}}}
	return &endpointv3.ClusterLoadAssignment{ClusterName: "pay", Endpoints: []*endpointv3.LocalityLbEndpoints{{
		Locality: &corev3.Locality{Zone: "a"}, LoadBalancingWeight: wrapperspb.UInt32(1),
		LbEndpoints: []*endpointv3.LbEndpoint{{HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: address}}}},
	}}}
}

func anyOf(t *testing.T, m proto.Message) *anypb.Any {
	t.Helper()
	packed, err := anypb.New(m)
	if err != nil {
		t.Fatal(err)
	}
	return packed
}
