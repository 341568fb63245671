package rig

import (
	"context"
	"encoding/json"
	"sync"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/http_inspector/v3" // known by name
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/tls_inspector/v3"
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

// Resources are what a control plane says, by kind. A listener's is the one Listener makes.
type Resources struct{ Listeners, Clusters, Endpoints, Routes, Secrets []JSON }

// Plane is go-control-plane's server of ADS.
type Plane struct {
	t       testing.TB
	cache   cache.SnapshotCache
	address string

	mu    sync.Mutex
	sent  map[string]string // version by nonce
	acked map[string]string // version by type
	nacks []string
}

// NewPlane starts a control plane without resources. It ends with the test.
func NewPlane(t testing.TB) *Plane {
	p := &Plane{t: t, cache: cache.NewSnapshotCache(false, everybody{}, nil), sent: map[string]string{}, acked: map[string]string{}}
	l := Listen(t)
	p.address = l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	server := grpc.NewServer()
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(server, serverv3.NewServer(ctx, p.cache, serverv3.CallbackFuncs{
		StreamDeltaResponseFunc: p.answered, StreamDeltaRequestFunc: p.asked,
	}))
	var served sync.WaitGroup
	served.Go(func() { _ = server.Serve(l) })
	t.Cleanup(func() { cancel(); server.Stop(); served.Wait() })
	return p
}

// everybody is one node.
type everybody struct{}

// ID implements cache.NodeHash.
func (everybody) ID(*corev3.Node) string { return "all" }

func (p *Plane) answered(_ int64, _ *discoveryv3.DeltaDiscoveryRequest, r *discoveryv3.DeltaDiscoveryResponse) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sent[r.GetTypeUrl()+r.GetNonce()] = r.GetSystemVersionInfo()
}

func (p *Plane) asked(_ int64, r *discoveryv3.DeltaDiscoveryRequest) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := r.GetTypeUrl() + r.GetResponseNonce()
	if version, ok := p.sent[key]; ok {
		p.acked[r.GetTypeUrl()] = version
		delete(p.sent, key)
	}
	if why := r.GetErrorDetail().GetMessage(); why != "" {
		p.nacks = append(p.nacks, why)
	}
	return nil
}

// Bootstrap leads a proxy here.
func (p *Plane) Bootstrap() JSON {
	ads := JSON{"ads": JSON{}, "resource_api_version": "V3"}
	return JSON{
		"node": JSON{"id": "rig", "cluster": "rig"},
		"dynamic_resources": JSON{
			"lds_config": ads, "cds_config": ads,
			"ads_config": JSON{
				"api_type": "DELTA_GRPC", "transport_api_version": "V3",
				"grpc_services": []JSON{{"envoy_grpc": JSON{"cluster_name": "xds"}}},
			},
		},
		"static_resources": JSON{"clusters": []JSON{Cluster("xds", HTTP2(), p.address)}},
	}
}

// Serve says r from now on.
func (p *Plane) Serve(version string, r Resources) {
	p.t.Helper()
	snapshot, err := cache.NewSnapshot(version, map[resourcev3.Type][]types.Resource{
		resourcev3.ListenerType: messages[listenerv3.Listener](p.t, r.Listeners),
		resourcev3.RouteType:    messages[routev3.RouteConfiguration](p.t, r.Routes),
		resourcev3.ClusterType:  messages[clusterv3.Cluster](p.t, r.Clusters),
		resourcev3.EndpointType: messages[endpointv3.ClusterLoadAssignment](p.t, r.Endpoints),
		resourcev3.SecretType:   messages[tlsv3.Secret](p.t, r.Secrets),
	})
	if err == nil {
		err = p.cache.SetSnapshot(context.Background(), "all", snapshot)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

func messages[T any, M interface {
	*T
	proto.Message
}](t testing.TB, all []JSON) (out []types.Resource) {
	t.Helper()
	for _, each := range all {
		text, err := json.Marshal(each)
		m := M(new(T))
		if err == nil {
			err = protojson.Unmarshal(text, m)
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		out = append(out, m)
	}
	return out
}

// RoutesAcked is the version of the routes that were acknowledged last.
func (p *Plane) RoutesAcked() string { return p.ackedOf(resourcev3.RouteType) }

// SecretsAcked is the version of the secrets that were acknowledged last.
func (p *Plane) SecretsAcked() string { return p.ackedOf(resourcev3.SecretType) }

func (p *Plane) ackedOf(kind string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.acked[kind]
}

// Refused are the texts of what the proxy refused.
func (p *Plane) Refused() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.nacks
}

// DynamicCluster is a cluster whose hosts come over ADS, changed by fields.
func DynamicCluster(name string, fields JSON) JSON {
	return With(JSON{
		"name": name, "type": "EDS", "connect_timeout": "10s",
		"eds_cluster_config": JSON{"eds_config": JSON{"ads": JSON{}, "resource_api_version": "V3"}},
	}, fields)
}

// Secret is a certificate for TLSBySDS.
func Secret(p Pair) JSON {
	return JSON{"name": "default", "tls_certificate": JSON{
		"certificate_chain": JSON{"inline_string": p.Cert}, "private_key": JSON{"inline_string": p.Key},
	}}
}

// Trust is the bundle for TLSBySDS.
func Trust(pem string) JSON {
	return JSON{"name": "ROOTCA", "validation_context": JSON{"trusted_ca": JSON{"inline_string": pem}}}
}
