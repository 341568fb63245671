// Package plane is a control plane for tests: go-control-plane's ADS server with one set of resources for every node, as
// JSON. walk.go has those of the founding documents' example.
package plane

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"sync"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	serverv3 "github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// Resources are what a control plane serves, each as protobuf's JSON.
type Resources struct {
	Listeners, Routes, Clusters, Endpoints, Secrets []json.RawMessage
}

// Plane is one; make it with New.
type Plane struct {
	cache  cache.SnapshotCache
	server *grpc.Server
	cancel context.CancelFunc

	mu      sync.Mutex
	sent    map[string]string // version by type and nonce
	acked   map[string]string // version by type
	refused []string
}

// New returns a control plane without resources.
func New() *Plane {
	ctx, cancel := context.WithCancel(context.Background())
	p := &Plane{cache: cache.NewSnapshotCache(true, one{}, nil), server: grpc.NewServer(), cancel: cancel, sent: map[string]string{}, acked: map[string]string{}}
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(p.server, serverv3.NewServer(ctx, p.cache, serverv3.CallbackFuncs{
		StreamDeltaResponseFunc: func(_ int64, _ *discoveryv3.DeltaDiscoveryRequest, r *discoveryv3.DeltaDiscoveryResponse) {
			p.answered(r.GetTypeUrl(), r.GetNonce(), r.GetSystemVersionInfo())
		},
		StreamDeltaRequestFunc: func(_ int64, r *discoveryv3.DeltaDiscoveryRequest) error {
			p.asked(r.GetTypeUrl(), r.GetResponseNonce(), r.GetErrorDetail().GetMessage())
			return nil
		},
		StreamResponseFunc: func(_ context.Context, _ int64, _ *discoveryv3.DiscoveryRequest, r *discoveryv3.DiscoveryResponse) {
			p.answered(r.GetTypeUrl(), r.GetNonce(), r.GetVersionInfo())
		},
		StreamRequestFunc: func(_ int64, r *discoveryv3.DiscoveryRequest) error {
			p.asked(r.GetTypeUrl(), r.GetResponseNonce(), r.GetErrorDetail().GetMessage())
			return nil
		},
	}))
	return p
}

// one is the node of everybody.
type one struct{}

func (one) ID(*corev3.Node) string { return "all" }

func (p *Plane) answered(kind, nonce, version string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sent[kind+nonce] = version
}

// asked is what a proxy says to an answer, if nonce is one's: that it has it, or why not.
func (p *Plane) asked(kind, nonce, refusal string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if version, ok := p.sent[kind+nonce]; ok {
		p.acked[kind] = version
		delete(p.sent, kind+nonce)
	}
	if refusal != "" {
		p.refused = append(p.refused, refusal)
	}
}

// Acked returns the version of the last answer of a type that a proxy has reacted to.
func (p *Plane) Acked(kind resourcev3.Type) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.acked[kind]
}

// Refused returns why proxies refused what they were sent, in the order it came.
func (p *Plane) Refused() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.refused)
}

// Serve answers at l until Close.
func (p *Plane) Serve(l net.Listener) error { return p.server.Serve(l) }

// Close ends all streams and Serve.
func (p *Plane) Close() {
	p.cancel()
	p.server.Stop()
}

// Set is what is served from now on. A version already served changes nothing.
func (p *Plane) Set(version string, r Resources) error {
	all := map[resourcev3.Type][]types.Resource{}
	for _, kind := range []struct {
		url  string
		raw  []json.RawMessage
		make func() proto.Message
	}{
		{resourcev3.ListenerType, r.Listeners, func() proto.Message { return new(listenerv3.Listener) }},
		{resourcev3.RouteType, r.Routes, func() proto.Message { return new(routev3.RouteConfiguration) }},
		{resourcev3.ClusterType, r.Clusters, func() proto.Message { return new(clusterv3.Cluster) }},
		{resourcev3.EndpointType, r.Endpoints, func() proto.Message { return new(endpointv3.ClusterLoadAssignment) }},
		{resourcev3.SecretType, r.Secrets, func() proto.Message { return new(tlsv3.Secret) }},
	} {
		for i, raw := range kind.raw {
			m := kind.make()
			if err := protojson.Unmarshal(raw, m); err != nil {
				return fmt.Errorf("resource %d of %s: %w", i, kind.url, err)
			}
			all[kind.url] = append(all[kind.url], m)
		}
	}
	snapshot, err := cache.NewSnapshot(version, all)
	if err != nil {
		return err
	}
	return p.cache.SetSnapshot(context.Background(), "all", snapshot)
}
