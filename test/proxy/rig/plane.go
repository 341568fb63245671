package rig

import (
	"encoding/json"
	"sync"
	"testing"

	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/http_inspector/v3" // known by name
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/tls_inspector/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"

	"github.com/pillion-mesh/pillion/test/ads/plane"
)

// Resources are what a control plane says, by kind. A listener's is the one Listener makes.
type Resources struct{ Listeners, Clusters, Endpoints, Routes, Secrets []JSON }

// Plane is a control plane that ends with the test.
type Plane struct {
	*plane.Plane
	t       testing.TB
	address string
}

// NewPlane starts a control plane without resources.
func NewPlane(t testing.TB) *Plane {
	l := Listen(t)
	p := &Plane{plane.New(), t, l.Addr().String()}
	var served sync.WaitGroup
	served.Go(func() { _ = p.Plane.Serve(l) })
	t.Cleanup(func() { p.Close(); served.Wait() })
	return p
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
	err := p.Set(version, plane.Resources{
		Listeners: p.raw(r.Listeners), Routes: p.raw(r.Routes), Clusters: p.raw(r.Clusters), Endpoints: p.raw(r.Endpoints), Secrets: p.raw(r.Secrets),
	})
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *Plane) raw(all []JSON) (out []json.RawMessage) {
	p.t.Helper()
	for _, each := range all {
		text, err := json.Marshal(each)
		if err != nil {
			p.t.Fatal(err)
		}
		out = append(out, text)
	}
	return out
}

// RoutesAcked is the version of the routes that were acknowledged last.
func (p *Plane) RoutesAcked() string { return p.Acked(resourcev3.RouteType) }

// SecretsAcked is the version of the secrets that were acknowledged last.
func (p *Plane) SecretsAcked() string { return p.Acked(resourcev3.SecretType) }

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
