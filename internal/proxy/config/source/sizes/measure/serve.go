package main

import (
	"fmt"
	"net"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"

	"github.com/pillion-mesh/pillion/internal/proxy/config/source/sizes"
	"github.com/pillion-mesh/pillion/internal/xdsclient"
)

const (
	clusters  = 2000
	hostsEach = 10
)

// plane is a control plane that answers each subscription once, from a fixed configuration.
type plane struct {
	discoveryv3.UnimplementedAggregatedDiscoveryServiceServer
	all map[string]map[string]*discoveryv3.Resource // by type and name
}

func serve() error {
	p, err := newPlane()
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // ends with the process
	if err != nil {
		return err
	}
	fmt.Println(listener.Addr())
	g := grpc.NewServer(grpc.MaxRecvMsgSize(64<<20), grpc.MaxSendMsgSize(64<<20))
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(g, p)
	return g.Serve(listener)
}

func newPlane() (*plane, error) {
	p := &plane{all: map[string]map[string]*discoveryv3.Resource{}}
	for i := range clusters {
		p.add(sizes.Cluster(i))
		p.add(sizes.Endpoints(i, hostsEach, 0))
	}
	p.add(sizes.Listener("0.0.0.0_8080", "0.0.0.0", 8080, "8080"))
	p.add(sizes.Routes("8080", clusters))
	secret, err := sizes.Secret("default")
	p.add(secret)
	return p, err
}

func (p *plane) add(n sizes.Named) {
	url := n.Body.GetTypeUrl()
	if p.all[url] == nil {
		p.all[url] = map[string]*discoveryv3.Resource{}
	}
	p.all[url][n.Name] = &discoveryv3.Resource{Name: n.Name, Version: "1", Resource: n.Body}
}

// DeltaAggregatedResources answers what is subscribed to, and nothing twice.
func (p *plane) DeltaAggregatedResources(stream grpc.BidiStreamingServer[discoveryv3.DeltaDiscoveryRequest, discoveryv3.DeltaDiscoveryResponse]) error {
	for nonce := 0; ; nonce++ {
		r, err := stream.Recv()
		if err != nil {
			return err
		}
		if d := r.GetErrorDetail(); d != nil {
			return fmt.Errorf("refused: %s", d.GetMessage())
		}
		if r.GetResponseNonce() != "" {
			continue
		}
		answer := &discoveryv3.DeltaDiscoveryResponse{TypeUrl: r.GetTypeUrl(), Nonce: fmt.Sprint(nonce), Resources: p.asked(r)}
		if err := stream.Send(answer); err != nil {
			return err
		}
	}
}

func (p *plane) asked(r *discoveryv3.DeltaDiscoveryRequest) (out []*discoveryv3.Resource) {
	if url := r.GetTypeUrl(); url == xdsclient.TypeCluster || url == xdsclient.TypeListener {
		for _, each := range p.all[url] {
			out = append(out, each)
		}
		return out
	}
	for _, name := range r.GetResourceNamesSubscribe() {
		if each := p.all[r.GetTypeUrl()][name]; each != nil {
			out = append(out, each)
		}
	}
	return out
}
