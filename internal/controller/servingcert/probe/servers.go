package probe

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"

	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// The API servers keep their own addresses in this EndpointSlice, and answer to this name.
var apiServers = client.ObjectKey{Namespace: metav1.NamespaceDefault, Name: "kubernetes"}

const apiServerName = "kubernetes.default.svc"

// configured stands for the address in the client's configuration.
const configured = ""

// leases is how one API server is asked.
type leases struct {
	address string // or configured
	server  string // what people call it
	api     coordinationclient.LeaseInterface
}

// servers are the addresses of all API servers, or the configured one where the cluster names none. If it can't be read
// which there are, why says so: there may be others.
func (p *Prober) servers(ctx context.Context) (addresses []string, why error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var slice discoveryv1.EndpointSlice
	err := p.Live.Get(ctx, apiServers, &slice)
	if err != nil && !apierrors.IsNotFound(err) {
		why = fmt.Errorf("reading EndpointSlice %s, which says where the API servers are: %w", apiServers, err)
	}
	if addresses = addressesOf(&slice); len(addresses) == 0 {
		addresses = []string{configured}
	}
	return addresses, why
}

func addressesOf(slice *discoveryv1.EndpointSlice) []string {
	port := int32(443)
	for _, p := range slice.Ports {
		if p.Port != nil && (p.Name == nil || *p.Name == "https" || *p.Name == "") {
			port = *p.Port
		}
	}
	var addresses []string
	for _, e := range slice.Endpoints {
		if len(e.Addresses) > 0 && (e.Conditions.Ready == nil || *e.Conditions.Ready) {
			addresses = append(addresses, net.JoinHostPort(e.Addresses[0], strconv.Itoa(int(port))))
		}
	}
	slices.Sort(addresses)
	return slices.Compact(addresses)
}

// connect returns a client for each address, and keeps it for the next time: API servers needn't see a new connection
// with each probe. Clients of addresses that are gone go too.
func (p *Prober) connect(addresses []string) ([]leases, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for address := range p.clients {
		if address != configured && !slices.Contains(addresses, address) {
			delete(p.clients, address)
		}
	}
	clients := make([]leases, len(addresses))
	for i, address := range addresses {
		c, known := p.clients[address]
		if !known {
			var err error
			if c, err = p.client(address); err != nil {
				return nil, err
			}
			p.clients[address] = c
		}
		clients[i] = c
	}
	return clients, nil
}

func (p *Prober) client(address string) (leases, error) {
	config := rest.CopyConfig(p.Config)
	config.QPS = -1 // who probes has a pace already, and waiting would count as the API server's time
	server := config.Host
	if address != configured {
		config.Host, server = "https://"+address, address
		config.ServerName = apiServerName
	}
	api, err := coordinationclient.NewForConfig(config)
	if err != nil {
		return leases{}, fmt.Errorf("making a client of API server %s: %w", server, err)
	}
	return leases{address: address, server: server, api: api.Leases(p.Namespace)}, nil
}
