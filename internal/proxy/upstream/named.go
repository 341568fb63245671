package upstream

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// Errors of Resolve.
var (
	ErrManyHosts   = errors.New("the DNS cache has as many hosts as it may")
	ErrManyWaiting = errors.New("as many requests wait for DNS as may")
)

// ResolveError is a host that has no address.
type ResolveError struct {
	Host string
	Err  error // nil: it was looked up in vain; there may be an answer without addresses
}

// Error implements error.
func (e *ResolveError) Error() string {
	if e.Err == nil {
		return "no address of " + strconv.Quote(e.Host)
	}
	return "looking " + strconv.Quote(e.Host) + " up: " + e.Err.Error()
}

// Unwrap is what the resolver said.
func (e *ResolveError) Unwrap() error { return e.Err }

// Resolve waits until the host of a request to a DynamicForward cluster can be picked; for other clusters there is nothing
// to wait for. authority is the request's host, with a port or without: then it is 443 if the cluster speaks TLS, else 80.
// The error is ErrManyHosts, ErrManyWaiting, a *ResolveError or ctx's.
func (c *Cluster) Resolve(ctx context.Context, authority string) error {
	cfg := c.Config()
	if cfg.Kind != config.DynamicForward || cfg.Cache == nil {
		return nil
	}
	at, ok := destination(cfg, authority)
	if !ok {
		return &ResolveError{Host: authority}
	}
	n := c.named.Load()
	if n == nil {
		return nil // the cluster is being removed
	}
	e, wait, err := c.enter(n, cfg.Cache, at)
	if err != nil || !wait {
		return err
	}
	defer n.left()
	select {
	case <-e.done:
	case <-ctx.Done():
		return ctx.Err()
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return e.failure()
}

// destination takes an authority apart. It must be a name as hosts have it, or an address.
func destination(cfg *config.Cluster, authority string) (nameAt, bool) {
	host, port := authority, uint16(80)
	if TransportOf(cfg, &config.Endpoint{}) != nil {
		port = 443
	}
	if colon := strings.LastIndexByte(authority, ':'); colon > strings.LastIndexByte(authority, ']') {
		n, err := strconv.ParseUint(authority[colon+1:], 10, 16)
		if err != nil || n == 0 {
			return nameAt{}, false
		}
		host, port = authority[:colon], uint16(n)
	}
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		host = host[1 : len(host)-1]
		if a, err := netip.ParseAddr(host); err != nil || !a.Is6() || a.Zone() != "" {
			return nameAt{}, false
		}
	} else if !isHostName(host) {
		return nameAt{}, false
	}
	return nameAt{strings.ToLower(strings.Clone(host)), port}, true
}

func isHostName(host string) bool {
	if host == "" || len(host) > 253 {
		return false
	}
	for i := range len(host) {
		c := host[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.') {
			return false
		}
	}
	return true
}

// sweepNamed lets the hosts go that no name leads to any more, once they have nothing under way.
func (c *Cluster) sweepNamed(keep map[hostKey]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, host := range c.originals.hosts {
		if !keep[key] && host.Active.Load() == 0 {
			delete(c.originals.hosts, key)
			c.retire(host)
		}
	}
}

// pickNamed returns the host that the request names, if it was resolved. Each name has hosts of its own, also where two
// names have one address: connections are made for a name.
func (c *Cluster) pickNamed(choice *Choice, trace *stream.Trace) (*Host, error) {
	at, ok := destination(c.Config(), choice.Name)
	var key hostKey
	var addresses []netip.Addr
	if n := c.named.Load(); ok && n != nil {
		key, addresses = n.find(at, c.manager.opts.Now())
	}
	if o := &choice.Override; len(addresses) > 0 && o.Strict && o.Host != "" && o.Host != key.address.String() {
		return nil, ErrNotBound
	}
	if len(addresses) == 0 {
		if trace.On() {
			trace.Note("host", "none: %q isn't resolved", choice.Name)
		}
		c.Stats.CxNoneHealthy.Add(1)
		return nil, ErrNoHost
	}
	if trace.On() {
		trace.Note("host", "%s, an address of %q", key.address, at.name)
	}
	return c.hostOf(key, addresses[1:]), nil
}

// hostOf is the host of a key, with further addresses to try.
func (c *Cluster) hostOf(key hostKey, others []netip.Addr) *Host {
	host := c.original(key)
	same := func(a netip.AddrPort, b netip.Addr) bool { return a.Addr() == b }
	if e := host.Endpoint(); e.Hostname == key.pipe && slices.EqualFunc(e.Additional, others, same) {
		return host
	}
	next := &config.Endpoint{Address: key.address, Hostname: key.pipe}
	for _, a := range others {
		next.Additional = append(next.Additional, netip.AddrPortFrom(a, key.address.Port()))
	}
	host.endpoint.Store(next)
	return host
}

// Resolve is the cluster's Resolve; of a cluster there isn't, nil.
func (m *Manager) Resolve(ctx context.Context, cluster, authority string) error {
	if c := m.Cluster(cluster); c != nil {
		return c.Resolve(ctx, authority)
	}
	return nil
}
