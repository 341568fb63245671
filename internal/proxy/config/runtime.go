// Package config holds what the proxy is told to do, as values nobody changes: listeners with their filter chains,
// routes, clusters, endpoints, secrets. xDS resources or a few settings (Static) come in; a *Runtime goes out, which the
// rest of the proxy only reads. Nothing behind this package sees protobuf.
//
// Read this file first, then the types in the order a connection meets them: listener.go, chain.go, http.go, route.go,
// cluster.go, tls.go; filter.go and matcher.go hold what several of them use. The decoders of xDS are in package
// config/xds.
package config

import (
	"net/netip"
	"reflect"
	"slices"
	"sync/atomic"
)

// Direction says which side of the application a listener stands on.
type Direction uint8

// Outbound traffic comes from the application, Inbound traffic goes to it.
const (
	Outbound Direction = iota
	Inbound
)

// String is the direction as Envoy's stat prefixes spell it.
func (d Direction) String() string {
	if d == Inbound {
		return "inbound"
	}
	return "outbound"
}

// Reporter is the value of Istio's label `reporter`: who counted a connection.
func (d Direction) Reporter() string {
	if d == Inbound {
		return "destination"
	}
	return "source"
}

// Names of the listeners, chains and clusters that exist without any configuration, as Istio names them.
const (
	VirtualOutbound = "virtualOutbound"
	VirtualInbound  = "virtualInbound"

	ChainOutboundCatchAll  = "virtualOutbound-catchall-tcp"
	ChainOutboundBlackhole = "virtualOutbound-blackhole"
	ChainInboundCatchAll   = "virtualInbound-catchall-tcp"
	ChainInboundBlackhole  = "virtualInbound-blackhole"

	PassthroughCluster        = "PassthroughCluster"
	InboundPassthroughCluster = "InboundPassthroughCluster"
	BlackHoleCluster          = "BlackHoleCluster"
)

// Runtime is one whole configuration. It is never changed after it was made; a new one replaces it. What changes more
// often than listeners and clusters do, their routes, endpoints and secrets, stands in cells, which are replaced alone
// and are shared by all Runtimes that name them.
type Runtime struct {
	listeners map[string]*Listener
	addresses map[netip.AddrPort]*Listener
	clusters  map[string]*Cluster
}

// NewRuntime returns the configuration made of these listeners and clusters. Names and the addresses of listeners must
// be unique: of two alike the later one wins, decoders refuse them before.
func NewRuntime(listeners []*Listener, clusters []*Cluster) *Runtime {
	r := &Runtime{
		listeners: make(map[string]*Listener, len(listeners)),
		addresses: make(map[netip.AddrPort]*Listener, len(listeners)),
		clusters:  make(map[string]*Cluster, len(clusters)),
	}
	for _, l := range listeners {
		r.listeners[l.Name] = l
		for _, a := range l.Addresses {
			r.addresses[a] = l
		}
	}
	for _, c := range clusters {
		r.clusters[c.Name] = c
	}
	return r
}

// Listener returns the listener of that name, or nil.
func (r *Runtime) Listener(name string) *Listener { return r.listeners[name] }

// Keeps reports whether the listener l, of an earlier Runtime, is still here with its chain c, be it that they were changed.
// Chains are the same by their names; without names, by what they match.
func (r *Runtime) Keeps(l *Listener, c *Chain) bool {
	now := r.listeners[l.Name]
	switch {
	case now == nil:
		return false
	case c == l.Default:
		return now.Default != nil
	}
	return slices.ContainsFunc(now.Chains, func(other *Chain) bool {
		return other == c || other.Name == c.Name && (c.Name != "" || reflect.DeepEqual(other.Match, c.Match))
	})
}

// At returns the listener with exactly that address, or nil.
func (r *Runtime) At(address netip.AddrPort) *Listener { return r.addresses[address] }

// Cluster returns the cluster of that name, or nil.
func (r *Runtime) Cluster(name string) *Cluster { return r.clusters[name] }

// Listeners calls yield for each listener, in no order, until it returns false.
func (r *Runtime) Listeners(yield func(*Listener) bool) {
	for _, l := range r.listeners {
		if !yield(l) {
			return
		}
	}
}

// Clusters calls yield for each cluster, in no order, until it returns false.
func (r *Runtime) Clusters(yield func(*Cluster) bool) {
	for _, c := range r.clusters {
		if !yield(c) {
			return
		}
	}
}

// Cell is a place in a Runtime whose value is replaced alone. Its value is nil until the first Store: not there yet.
// Readers that derive something from it (an index of routes, a set of hosts with their pools) keep the pointer they
// derived it from and compare: a changed pointer is the only notice of a change.
type Cell[T any] struct{ value atomic.Pointer[T] }

// NewCell returns a cell that holds v, which may be nil.
func NewCell[T any](v *T) *Cell[T] {
	c := &Cell[T]{}
	c.value.Store(v)
	return c
}

// Load returns the value, nil if it isn't there yet.
func (c *Cell[T]) Load() *T { return c.value.Load() }

// Store replaces the value. It must not be changed afterwards.
func (c *Cell[T]) Store(v *T) { c.value.Store(v) }
