package replicas

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"

	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Service is the operator's, and how the port of its webhook is known.
type Service struct {
	Namespace, Name string
	PortName        string
	Port            int32 // of the container: for Services that call theirs something else
}

// FromService lists the replicas behind a Service, by its EndpointSlices.
func FromService(from client.Reader, s Service) func(ctx context.Context) ([]Endpoint, error) {
	return func(ctx context.Context) ([]Endpoint, error) {
		var list discoveryv1.EndpointSliceList
		err := from.List(ctx, &list, client.InNamespace(s.Namespace), client.MatchingLabels{discoveryv1.LabelServiceName: s.Name})
		if err != nil {
			return nil, fmt.Errorf("listing the endpoints of Service %s/%s: %w", s.Namespace, s.Name, err)
		}
		slices.SortFunc(list.Items, byFamily)
		return s.endpoints(list.Items), nil
	}
}

// byFamily makes the order of a replica's addresses the same each time, IPv4 first.
func byFamily(a, b discoveryv1.EndpointSlice) int {
	return cmp.Or(cmp.Compare(a.AddressType, b.AddressType), cmp.Compare(a.Name, b.Name))
}

// endpoints merges slices: a pod is in one for each family, and for a moment in two of the same when slices are
// rearranged.
func (s Service) endpoints(list []discoveryv1.EndpointSlice) []Endpoint {
	var all []Endpoint
	index := map[string]int{} // by identity
	for _, slice := range list {
		port := s.port(slice.Ports)
		for _, e := range slice.Endpoints {
			if !mayBeCalled(e.Conditions) || len(e.Addresses) == 0 {
				continue
			}
			id := identity(e)
			i, known := index[id]
			if !known {
				i = len(all)
				index[id] = i
				all = append(all, Endpoint{Name: name(e)})
			}
			all[i].add(e.Addresses[0], port, s)
		}
	}
	return all
}

// add takes the first address only: the API says that the others mean nothing.
func (e *Endpoint) add(host string, port int32, s Service) {
	if port == 0 {
		e.Fault = fmt.Errorf("the endpoints of Service %s/%s have neither a port named %s nor port %d", s.Namespace, s.Name, s.PortName, s.Port)
		return
	}
	address := net.JoinHostPort(host, strconv.Itoa(int(port)))
	if !slices.Contains(e.Addresses, address) {
		e.Addresses = append(e.Addresses, address)
	}
}

// port is the webhook's among a slice's; 0 is none.
func (s Service) port(ports []discoveryv1.EndpointPort) int32 {
	var found int32
	for _, p := range ports {
		switch {
		case p.Port == nil:
		case p.Name != nil && *p.Name == s.PortName:
			return *p.Port
		case *p.Port == s.Port:
			found = s.Port
		}
	}
	return found
}

// mayBeCalled says whether clients may be sent there: to ready ones and, when there are none, to those that are ending
// but still serve. Unknown means ready, and unknown of terminating means that it isn't.
func mayBeCalled(c discoveryv1.EndpointConditions) bool {
	ready := c.Ready == nil || *c.Ready
	ending := c.Terminating != nil && *c.Terminating
	serving := c.Serving != nil && *c.Serving
	return ready || ending && serving
}

// identity is the pod's, if it is one: a name may be taken again by the next, an address by anything.
func identity(e discoveryv1.Endpoint) string {
	if ref := e.TargetRef; ref != nil && ref.UID != "" {
		return string(ref.UID)
	}
	return name(e)
}

func name(e discoveryv1.Endpoint) string {
	if e.TargetRef != nil && e.TargetRef.Name != "" {
		return e.TargetRef.Name
	}
	return e.Addresses[0]
}
