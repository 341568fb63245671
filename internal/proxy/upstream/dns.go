package upstream

import (
	"cmp"
	"context"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// Resolver looks names up.
type Resolver interface {
	// Resolve returns name's addresses of the families asked for, and how long they hold; 0: that isn't told.
	Resolve(ctx context.Context, name string, v4, v6 bool) ([]netip.Addr, time.Duration, error)
}

// SystemResolver asks as /etc/resolv.conf and /etc/hosts say. It doesn't learn how long answers hold.
type SystemResolver struct{}

// Resolve implements Resolver.
func (SystemResolver) Resolve(ctx context.Context, name string, v4, v6 bool) ([]netip.Addr, time.Duration, error) {
	network := "ip"
	switch {
	case !v6:
		network = "ip4"
	case !v4:
		network = "ip6"
	}
	addresses, err := net.DefaultResolver.LookupNetIP(ctx, network, name)
	return addresses, 0, err
}

const (
	defaultRefresh = 5 * time.Second
	lookupTimeout  = 10 * time.Second
	shortestWait   = time.Second // however short a TTL is
)

// names looks the names of a DNS cluster up again and again. What it found stands in resolved, as endpoints with
// addresses.
type names struct {
	cluster  *config.Cluster
	resolver Resolver
	random   func() uint64
	resolved atomic.Pointer[config.Endpoints] // nil: the first look-up isn't over
	warm     chan struct{}                    // closed after the first look-up
	wake     chan struct{}                    // the names have changed
	seen     atomic.Pointer[config.Endpoints] // the names looked up last
	cancel   context.CancelFunc
	stats    *dnsStats

	answers  *answers
	begun    bool // all names were looked up before the goroutine began
	failures int  // in a row; of the goroutine that looks up
}

type dnsStats struct{ attempt, success, failure *counter }

// startNames begins to look names up, or goes on with another configuration. c.mu is held.
func (c *Cluster) startNames(cfg *config.Cluster) {
	old := c.dns.Load()
	c.stopNames()
	found := c.manager.early.take(cfg)
	if cfg.Kind != config.StrictDNS && cfg.Kind != config.LogicalDNS || cfg.Endpoints == nil {
		c.dns.Store(nil)
		return
	}
	n := newNames(cfg, c.manager.opts.Resolver, c.manager.opts.Random)
	n.stats = &dnsStats{&c.Stats.UpdateAttempt, &c.Stats.UpdateSuccess, &c.Stats.UpdateFailure}
	if old != nil { // addresses stay until there are others
		n.resolved.Store(old.resolved.Load())
		n.answers = old.answers
	}
	if found != nil {
		n.begin(found)
	}
	ctx, cancel := context.WithCancel(c.manager.ctx)
	n.cancel = cancel
	c.dns.Store(n)
	c.manager.work.Go(func() { n.run(ctx) })
}

// begin goes on from the first look-ups, which were made before the cluster was applied.
func (n *names) begin(found *answers) {
	n.answers.adopt(found)
	from := n.cluster.Endpoints.Load()
	n.seen.Store(from)
	n.publish(n.resolve(from), true)
	asked := namesOf(from)
	if n.begun = n.answers.have(asked); n.begun {
		n.stats.attempt.Add(uint64(len(asked)))
		n.stats.success.Add(uint64(len(asked)))
	}
}

func (c *Cluster) stopNames() {
	if n := c.dns.Load(); n != nil {
		n.cancel()
	}
}

func newNames(cfg *config.Cluster, resolver Resolver, random func() uint64) *names {
	return &names{
		cluster: cfg, resolver: resolver, random: random, answers: &answers{by: map[string][]netip.Addr{}},
		warm: make(chan struct{}), wake: make(chan struct{}, 1),
	}
}

// Warm is closed once the cluster's names were looked up for the first time, whether they were found or not; nil for
// clusters without names.
func (c *Cluster) Warm() <-chan struct{} {
	if n := c.dns.Load(); n != nil {
		return n.warm
	}
	return nil
}

func (n *names) run(ctx context.Context) {
	wait := n.refresh()
	if !n.begun {
		wait = n.round(ctx)
	}
	close(n.warm)
	for ; ; wait = n.round(ctx) {
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		case <-n.wake:
			timer.Stop()
		}
	}
}

// check wakes the goroutine if the names have changed.
func (n *names) check() {
	if n.cluster.Endpoints.Load() != n.seen.Load() {
		select {
		case n.wake <- struct{}{}:
		default:
		}
	}
}

// round looks all names up and returns how long to wait for the next one.
func (n *names) round(ctx context.Context) time.Duration {
	from := n.cluster.Endpoints.Load()
	changed := n.seen.Swap(from) != from
	if from == nil {
		return n.refresh()
	}
	asked := namesOf(from)
	failed, shortest := false, time.Duration(0)
	for _, name := range asked {
		ttl, err := n.look(ctx, name)
		failed = failed || err != nil
		if ttl > 0 && (shortest == 0 || ttl < shortest) {
			shortest = ttl
		}
	}
	if ctx.Err() == nil {
		n.answers.keep(asked)
		n.publish(n.resolve(from), changed)
	}
	return n.wait(failed, shortest)
}

func namesOf(e *config.Endpoints) (names []string) {
	for i := range e.Localities {
		for _, host := range e.Localities[i].Hosts {
			if host.Name != "" {
				names = append(names, host.Name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (n *names) look(ctx context.Context, name string) (time.Duration, error) {
	n.count(func(s *dnsStats) *counter { return s.attempt })
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	found, ttl, err := n.lookup(ctx, name)
	if err != nil {
		n.count(func(s *dnsStats) *counter { return s.failure })
		return 0, err
	}
	n.count(func(s *dnsStats) *counter { return s.success })
	n.answers.put(name, n.stable(found, n.answers.get(name)))
	return ttl, nil
}

func (n *names) count(which func(*dnsStats) *counter) {
	if n.stats != nil {
		which(n.stats).Add(1)
	}
}

func (n *names) lookup(ctx context.Context, name string) ([]netip.Addr, time.Duration, error) {
	if literal, err := netip.ParseAddr(name); err == nil {
		return []netip.Addr{literal.Unmap()}, 0, nil
	}
	o := &n.cluster.DNS
	found, ttl, err := n.resolver.Resolve(ctx, name, o.V4 || !o.V6, o.V6 || !o.V4)
	return families(found, o), ttl, err
}

// resolve returns from with addresses in the place of names. A name without a good answer yet gives no host.
func (n *names) resolve(from *config.Endpoints) *config.Endpoints {
	to := *from
	to.Localities = make([]config.Locality, len(from.Localities))
	for i := range from.Localities {
		to.Localities[i] = from.Localities[i]
		to.Localities[i].Hosts = nil
		for _, e := range from.Localities[i].Hosts {
			to.Localities[i].Hosts = append(to.Localities[i].Hosts, n.hosts(e)...)
		}
	}
	return &to
}

func (n *names) hosts(e *config.Endpoint) []*config.Endpoint {
	if e.Name == "" {
		return []*config.Endpoint{e}
	}
	var hosts []*config.Endpoint
	for _, a := range n.answers.get(e.Name) {
		at := netip.AddrPortFrom(a, e.Port)
		if n.cluster.Kind == config.LogicalDNS && len(hosts) == 1 {
			hosts[0].Additional = append(hosts[0].Additional, at)
			continue
		}
		host := *e
		host.Address, host.Hostname, host.Additional = at, cmp.Or(e.Hostname, e.Name), nil
		hosts = append(hosts, &host)
	}
	return hosts
}

// publish stores what was found, unless that is what stands there. While nothing was ever found the cluster has no hosts.
func (n *names) publish(found *config.Endpoints, changed bool) {
	if old := n.resolved.Load(); changed || old == nil || !sameHosts(old, found) {
		n.resolved.Store(found)
	}
}

func sameHosts(a, b *config.Endpoints) bool {
	return slices.EqualFunc(a.Localities, b.Localities, func(a, b config.Locality) bool {
		return a.Priority == b.Priority && a.Weight == b.Weight && a.Region == b.Region && a.Zone == b.Zone && a.SubZone == b.SubZone &&
			slices.EqualFunc(a.Hosts, b.Hosts, sameHost)
	})
}

func sameHost(a, b *config.Endpoint) bool {
	return a.Address == b.Address && a.Hostname == b.Hostname && a.Weight == b.Weight && a.Health == b.Health &&
		slices.Equal(a.Additional, b.Additional) && sameTransport(a.TLSMatch, b.TLSMatch)
}
