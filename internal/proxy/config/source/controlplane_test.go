package source

import (
	"context"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	secretv3 "github.com/envoyproxy/go-control-plane/envoy/service/secret/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	rsc "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	serverv3 "github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/pillion-mesh/pillion/internal/proxy/config/xds"
	"github.com/pillion-mesh/pillion/internal/proxy/socket/sockettest"
	"github.com/pillion-mesh/pillion/internal/xdsclient"
)

const patience = 30 * time.Second

// controlPlane is go-control-plane's server over its snapshot cache: an independent idea of the protocol.
type controlPlane struct {
	cache   cache.SnapshotCache
	address string
	stop    func()

	mu    sync.Mutex
	nacks []string
	first []map[string]string // initial_resource_versions of clusters, a stream each
}

func (p *controlPlane) start(t *testing.T, network, address string) {
	t.Helper()
	callbacks := serverv3.CallbackFuncs{
		StreamRequestFunc: func(_ int64, r *discoveryv3.DiscoveryRequest) error {
			p.note(r.GetErrorDetail().GetMessage(), r.GetTypeUrl(), nil)
			return nil
		},
		StreamDeltaRequestFunc: func(_ int64, r *discoveryv3.DeltaDiscoveryRequest) error {
			initial := r.GetInitialResourceVersions()
			if r.GetResponseNonce() != "" {
				initial = nil
			} else if initial == nil {
				initial = map[string]string{}
			}
			p.note(r.GetErrorDetail().GetMessage(), r.GetTypeUrl(), initial)
			return nil
		},
	}
	listener, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	if p.address = listener.Addr().String(); network == "unix" {
		p.address = "unix:" + address
	}
	ctx, cancel := context.WithCancel(t.Context())
	s := serverv3.NewServer(ctx, p.cache, callbacks)
	g := grpc.NewServer()
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(g, s)
	secretv3.RegisterSecretDiscoveryServiceServer(g, s)
	var served sync.WaitGroup
	served.Go(func() { _ = g.Serve(listener) })
	p.stop = func() { cancel(); g.Stop(); served.Wait() }
}

func (p *controlPlane) note(nack, typeURL string, initial map[string]string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if nack != "" {
		p.nacks = append(p.nacks, nack)
	}
	if initial != nil && typeURL == xdsclient.TypeCluster {
		p.first = append(p.first, initial)
	}
}

func (p *controlPlane) refused(message string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, n := range p.nacks {
		if n == message {
			return true
		}
	}
	return false
}

func (p *controlPlane) set(t *testing.T, version string, resources map[rsc.Type][]types.Resource) {
	t.Helper()
	s, err := cache.NewSnapshot(version, resources)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cache.SetSnapshot(t.Context(), "node", s); err != nil {
		t.Fatal(err)
	}
}

// Resources of real types that toys understand: the words are in some other text field.
func cluster(name, words string) types.Resource {
	return &clusterv3.Cluster{Name: name, AltStatName: words}
}

func listener(name, words string) types.Resource {
	return &listenerv3.Listener{Name: name, StatPrefix: words}
}

func table(name, words string) types.Resource {
	return &routev3.RouteConfiguration{Name: name, InternalOnlyHeaders: []string{words}}
}

func assignment(name string, size int) types.Resource {
	a := &endpointv3.ClusterLoadAssignment{ClusterName: name}
	for range size {
		a.Endpoints = append(a.Endpoints, &endpointv3.LocalityLbEndpoints{Priority: 1})
	}
	return a
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); runtime.Gosched() {
		if holds() {
			return
		}
	}
	t.Fatalf("never: %s", what)
}

// run starts a source of toys against a control plane, until the test ends; then no goroutine of it may be left.
func run(t *testing.T, b *xds.BootstrapConfig, decode Decoders) *Source {
	t.Helper()
	raw, err := proto.Marshal(&corev3.Node{Id: "node", Cluster: "c"})
	if err != nil {
		t.Fatal(err)
	}
	b.Node.Raw = raw
	s, err := New(Options{Bootstrap: b, Decode: decode, Stream: func(_ string, o xdsclient.Options) xdsclient.Options {
		o.Backoff = xdsclient.Backoff{Base: time.Millisecond, Max: 10 * time.Millisecond}
		return o
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { s.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
		eventually(t, "all goroutines of the source have ended", func() bool {
			buffer := make([]byte, 1<<20)
			stacks := string(buffer[:runtime.Stack(buffer, true)])
			return !strings.Contains(stacks, "source.(*") && !strings.Contains(stacks, "xdsclient.(*")
		})
	})
	return s
}

func adsBootstrap(address string, delta bool) *xds.BootstrapConfig {
	return &xds.BootstrapConfig{
		ADS: xds.ADSConfig{Target: address, Delta: delta},
		CDS: &xds.ConfigSource{ADS: true}, LDS: &xds.ConfigSource{ADS: true},
	}
}

func TestControlPlane(t *testing.T) {
	for name, delta := range map[string]bool{"delta": true, "sotw": false} {
		t.Run(name, func(t *testing.T) {
			plane := &controlPlane{cache: cache.NewSnapshotCache(false, cache.IDHash{}, nil)}
			plane.start(t, "tcp", sockettest.Any())
			defer func() { plane.stop() }()
			plane.set(t, "1", map[rsc.Type][]types.Resource{
				rsc.ClusterType: {cluster("a", "eds:a"), cluster("b", "")}, rsc.EndpointType: {assignment("a", 1)},
				rsc.ListenerType: {listener("l", "route:r at:10.0.0.1:80")}, rsc.RouteType: {table("r", "to:a")},
			})
			s := run(t, adsBootstrap(plane.address, delta), toys)
			eventually(t, "ready", s.Ready)
			if r := s.Runtime().Load(); r.Cluster("a") == nil || r.Cluster("b") == nil || r.Listener("l") == nil || !s.Connected() {
				t.Fatal("not all is there")
			}
			plane.set(t, "2", map[rsc.Type][]types.Resource{ // b is bad, c is new, the endpoints changed
				rsc.ClusterType: {cluster("a", "eds:a"), cluster("b", "bad"), cluster("c", "")}, rsc.EndpointType: {assignment("a", 2)},
				rsc.ListenerType: {listener("l", "route:r2 at:10.0.0.1:80")}, rsc.RouteType: {table("r2", "to:c")},
			})
			eventually(t, "the NACK", func() bool { return plane.refused(`cluster "b": bad`) })
			eventually(t, "the good ones", func() bool {
				r := s.Runtime().Load()
				return r.Cluster("c") != nil && r.Listener("l").Chains[0].HTTP.RouteName == "r2"
			})
			if s.Runtime().Load().Cluster("b") == nil || s.Counters(xdsclient.TypeCluster).Rejected == 0 || len(s.Errors()) != 1 {
				t.Error("b should go on as it was, and be told of")
			}
			address := plane.address
			plane.stop()
			eventually(t, "the end of the stream", func() bool { return !s.Connected() })
			plane.start(t, "tcp", address)
			plane.set(t, "3", map[rsc.Type][]types.Resource{
				rsc.ClusterType: {cluster("c", "new")}, rsc.EndpointType: {},
				rsc.ListenerType: {listener("l", "to:c at:10.0.0.1:80")}, rsc.RouteType: {},
			})
			eventually(t, "the state after the outage", func() bool {
				r := s.Runtime().Load()
				return r.Cluster("a") == nil && r.Cluster("b") == nil && r.Cluster("c") != nil && len(r.Listener("l").Chains) == 1 && r.Listener("l").Chains[0].TCP != nil
			})
			if !delta {
				return
			}
			plane.mu.Lock()
			defer plane.mu.Unlock()
			if held := plane.first[1]; len(held) != 3 || held["a"] == "" || held["b"] == "" || held["c"] == "" {
				t.Errorf("the second stream began with versions %v", held)
			}
		})
	}
}

// TestSecretsFromTheirOwnStream: as Istio's sds-grpc, over a Unix socket, while the rest comes by ADS.
func TestSecretsFromTheirOwnStream(t *testing.T) {
	plane := &controlPlane{cache: cache.NewSnapshotCache(false, cache.IDHash{}, nil)}
	plane.start(t, "tcp", sockettest.Any())
	defer plane.stop()
	sds := &controlPlane{cache: cache.NewSnapshotCache(false, cache.IDHash{}, nil)}
	sds.start(t, "unix", t.TempDir()+"/sds.sock")
	defer sds.stop()
	plane.set(t, "1", map[rsc.Type][]types.Resource{
		rsc.ClusterType: {cluster("a", "from:sds-grpc secret:default")}, rsc.ListenerType: {listener("l", "at:10.0.0.1:80")},
	})
	b := adsBootstrap(plane.address, true)
	b.Clusters = [][]byte{toy(clusters, "sds-grpc", "pipe:"+strings.TrimPrefix(sds.address, "unix:")).Value}
	s := run(t, b, toys)
	eventually(t, "listeners and clusters", func() bool {
		waiting, _ := s.Warming()
		return waiting == 1
	})
	if s.Ready() {
		t.Fatal("ready without the secret")
	}
	sds.set(t, "1", map[rsc.Type][]types.Resource{rsc.SecretType: {&tlsv3.Secret{Name: "default"}}})
	eventually(t, "ready", s.Ready)
	plane.set(t, "2", map[rsc.Type][]types.Resource{
		rsc.ClusterType: {cluster("a", "")}, rsc.ListenerType: {listener("l", "at:10.0.0.1:80")},
	})
	eventually(t, "the stream for secrets has gone, nothing needs it", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.origins) == 1
	})
}
