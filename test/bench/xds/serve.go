//go:build linux

package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"

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

// serve listens until stop is called.
func (p *plane) serve(ctx context.Context) (address *net.TCPAddr, stop func(), err error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	g := grpc.NewServer(grpc.MaxRecvMsgSize(64<<20), grpc.MaxSendMsgSize(64<<20))
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(g, p)
	go func() { _ = g.Serve(listener) }()
	return listener.Addr().(*net.TCPAddr), g.Stop, nil //nolint:errcheck // what listening on TCP gives
}

func newPlane() (*plane, error) {
	p := &plane{all: map[string]map[string]*discoveryv3.Resource{}}
	for i := range clusters {
		p.add(sizes.Cluster(i))
		p.add(sizes.Endpoints(i, hostsEach, 0))
	}
	tables, err := tableCount()
	if err != nil {
		return nil, err
	}
	for i := range tables {
		port := 8080 + i
		p.add(sizes.Listener(fmt.Sprint("0.0.0.0_", port), "0.0.0.0", uint32(port), fmt.Sprint(port)))
		p.add(sizes.Routes(fmt.Sprint(port), i*clusters/tables, clusters/tables))
	}
	secret, err := sizes.Secret("default")
	p.add(secret)
	return p, err
}

func tableCount() (int, error) {
	if len(os.Args) < 2 {
		return 8, nil
	}
	n, err := strconv.Atoi(os.Args[1])
	if err == nil && (n < 1 || n > clusters) {
		err = fmt.Errorf("%d route tables", n)
	}
	return n, err
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
