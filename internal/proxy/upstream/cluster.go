package upstream

import (
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/telemetry"
	"github.com/pillion-mesh/pillion/internal/proxy/tlsctx"
)

// Cluster is a cluster by its name. What is configured of it may change under it; ask Config when it matters.
type Cluster struct {
	Stats *telemetry.Cluster

	name     string
	manager  *Manager
	breakers [2]breaker
	config   atomic.Pointer[config.Cluster]
	set      atomic.Pointer[hostSet] // nil: nobody asked for hosts yet
	// changes counts what changed hosts besides their endpoints: configuration, health. A set made at another count is old.
	changes atomic.Uint64

	mu        sync.Mutex // held while the set is made anew
	known     map[hostKey]*Host
	updates   uint64
	originals originals
	named     atomic.Pointer[nameCache] // nil: requests don't name hosts
	dns       atomic.Pointer[names]
	checks    *checker
	ejector   ejector
	sessions  map[*config.ClientTLS]*tlsctx.Sessions
	retired   []*Host // whose idle connections are to be closed at the next tick; most are gone
	removed   bool
}

func newCluster(m *Manager, cfg *config.Cluster) *Cluster {
	stats := cfg.StatName
	if stats == "" {
		stats = cfg.Name
	}
	return &Cluster{Stats: m.opts.Store.Cluster(stats), name: cfg.Name, manager: m, known: map[hostKey]*Host{}}
}

// Config is the cluster as it is configured now.
func (c *Cluster) Config() *config.Cluster { return c.config.Load() }

// Name is the cluster's name.
func (c *Cluster) Name() string { return c.name }

// apply makes cfg the configuration. Hosts are kept only if they would be dialled in the same way.
func (c *Cluster) apply(cfg *config.Cluster) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.config.Load()
	if old == cfg {
		return
	}
	c.config.Store(cfg)
	c.changes.Add(1)
	if old != nil && !sameDial(old, cfg) {
		c.replaceAll()
	}
	c.sessions = nil
	c.named.Store(c.manager.caches.of(cfg))
	c.startNames(cfg)
	c.startChecks(cfg)
	if c.checks != nil {
		c.renew() // checks don't wait for the first request
	}
}

// sameDial reports whether connections made for one configuration do for the other.
func sameDial(a, b *config.Cluster) bool {
	return a.Kind == b.Kind && a.SourceV4 == b.SourceV4 && a.SourceV6 == b.SourceV6 && a.KeepClient == b.KeepClient &&
		a.HTTP.Protocol == b.HTTP.Protocol && reflect.DeepEqual(a.KeepAlive, b.KeepAlive) &&
		reflect.DeepEqual(a.TLS, b.TLS) && reflect.DeepEqual(a.Header, b.Header) && reflect.DeepEqual(a.TLSMatches, b.TLSMatches)
}

// replaceAll gives every host a successor that knows what it had counted but has none of its connections.
func (c *Cluster) replaceAll() {
	for key, host := range c.known {
		c.known[key] = host.successor()
		c.retire(host)
	}
	for key, host := range c.originals.hosts {
		delete(c.originals.hosts, key)
		c.retire(host)
	}
}

// retire lets a host go. Its connections are closed by the next tick, so that no lock is held meanwhile.
func (c *Cluster) retire(h *Host) {
	h.gone.Store(true)
	c.retired = append(c.retired, h)
}

// remove lets all hosts go: the cluster isn't configured any more. Who still holds it finds no host.
func (c *Cluster) remove() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.removed = true
	for _, host := range c.known {
		c.retire(host)
	}
	for _, host := range c.originals.hosts {
		c.retire(host)
	}
	clear(c.known)
	clear(c.originals.hosts)
	c.named.Store(nil)
	empty := &hostSet{config: c.Config(), balancer: &balancer{}, changes: c.changes.Add(1)}
	c.set.Store(empty)
	c.count(empty)
	c.stopNames()
	c.stopChecks()
}

// tick does the cluster's housekeeping.
func (c *Cluster) tick(now time.Time) {
	if n := c.dns.Load(); n != nil {
		n.check()
	}
	c.tickNamed(now)
	if c.set.Load() == nil {
		return // nobody has asked for its hosts yet: they cost no memory
	}
	c.current()
	c.tickOriginals(now)
	c.tickOutlier(now)
	c.tickSlowStart()
	c.gauges()
	c.tickPools(now)
	for _, host := range c.takeRetired() {
		if host.Gone() {
			host.H1.closeIdle()
		} else { // unwell: it may have others later
			host.H1.tick(time.Nanosecond, now)
		}
	}
}

func (c *Cluster) takeRetired() []*Host {
	c.mu.Lock()
	defer c.mu.Unlock()
	retired := c.retired
	c.retired = nil
	return retired
}
