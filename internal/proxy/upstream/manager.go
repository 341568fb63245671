// Package upstream knows the hosts of clusters and connects to them. A *config.Runtime comes in; the data path asks a
// Cluster to Pick a host for a request and to Dial it, and tells the Host how that went. It never connects to the
// sidecar itself.
//
// Read this file first, then cluster.go and host.go (what lives as long as its name and its address do), hosts.go
// (endpoints -> set of hosts), pick.go and balancer.go (set -> host: loads.go by priority, tier.go and zones.go by locality,
// one lb_*.go a policy; named.go where requests name their host); connect.go and dial.go make connections, proxyheader.go and
// tls.go begin them and breaker.go bounds them; outlier.go, healthcheck.go and dns.go change what Pick sees; status.go tells
// it to the admin API.
package upstream

import (
	"context"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/telemetry"
)

// Options are what a Manager needs. What is nil or 0 has the default told.
type Options struct {
	Store      *telemetry.Store           // nil: counters nobody reads
	OwnPorts   []uint16                   // never dialled on local addresses; nil: OwnPorts
	LocalAddrs func() ([]net.Addr, error) // nil: net.InterfaceAddrs
	Resolver   Resolver                   // nil: the system's
	Now        func() time.Time           // nil: time.Now
	Random     func() uint64              // nil: math/rand/v2; called by many goroutines
	Tick       time.Duration              // of housekeeping; 0: 1s, below zero: none
	Log        logr.Logger                // zero: discarded
	// LocalCluster is the cluster of this proxy and its fellows, cluster_manager.local_cluster_name; Home is where this
	// one is. Zone-aware routing goes by them; empty: there is none.
	LocalCluster string
	Home         config.Locality
}

func (o Options) withDefaults() Options {
	if o.Store == nil {
		o.Store = telemetry.NewStore(0, telemetry.Labels{})
	}
	if o.OwnPorts == nil {
		o.OwnPorts = OwnPorts[:]
	}
	if o.LocalAddrs == nil {
		o.LocalAddrs = net.InterfaceAddrs
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Uint64
	}
	if o.Tick == 0 {
		o.Tick = time.Second
	}
	if o.Resolver == nil {
		o.Resolver = SystemResolver{}
	}
	return o
}

// Manager holds a process's clusters.
type Manager struct {
	opts   Options
	home   spot
	dialer *dialer

	clusters atomic.Pointer[map[string]*Cluster] // never changed, only replaced
	mu       sync.Mutex                          // one Apply or tick at a time
	leaving  []*Cluster                          // removed ones that may still have connections
	early    earlyAnswers
	caches   caches // under mu

	ctx    context.Context // ends whatever runs in the background
	cancel context.CancelFunc
	work   sync.WaitGroup
}

// NewManager returns a Manager without clusters; its Close must be called.
func NewManager(o Options) *Manager {
	o = o.withDefaults()
	m := &Manager{opts: o, home: spotOf(&o.Home), dialer: newDialer(o.OwnPorts, o.LocalAddrs)}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	m.clusters.Store(&map[string]*Cluster{})
	if o.Tick > 0 {
		m.work.Go(m.housekeeping)
	}
	return m
}

// Cluster returns the cluster of that name, or nil. It takes no lock.
func (m *Manager) Cluster(name string) *Cluster { return (*m.clusters.Load())[name] }

// Apply makes runtime's clusters the ones there are. A cluster that was there before stays the same *Cluster, whatever
// changed in it, and its hosts stay the same *Host as long as they are dialled in the same way.
func (m *Manager) Apply(runtime *config.Runtime) {
	m.mu.Lock()
	defer m.mu.Unlock()
	old, next := *m.clusters.Load(), map[string]*Cluster{}
	for cfg := range runtime.Clusters {
		next[cfg.Name] = m.applied(old[cfg.Name], cfg)
	}
	m.clusters.Store(&next)
	m.caches.prune(next)
	for name, c := range old {
		if next[name] == nil {
			c.remove()
			m.leaving = append(m.leaving, c)
		}
	}
}

func (m *Manager) applied(c *Cluster, cfg *config.Cluster) *Cluster {
	if c == nil {
		c = newCluster(m, cfg)
	}
	c.apply(cfg)
	return c
}

// Close ends everything that runs in the background, waits for it, and closes idle connections. Counters stay.
func (m *Manager) Close() {
	m.cancel()
	m.work.Wait()
	m.Apply(config.NewRuntime(nil, nil))
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.leaving {
		c.tick(m.opts.Now())
	}
}

// housekeeping ticks until the manager is closed.
func (m *Manager) housekeeping() {
	ticker := time.NewTicker(m.opts.Tick)
	defer ticker.Stop()
	for {
		select {
		case <-m.ctx.Done():
			return
		case <-ticker.C:
			m.tick(m.opts.Now())
		}
	}
}

// tick does what is due: pools of hosts that went away are closed, intervals of outlier detection end.
func (m *Manager) tick(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range *m.clusters.Load() {
		c.tick(now)
	}
	m.tickLeaving(now)
}

// tickLeaving forgets clusters without connections, and their counters unless another cluster counts into the same: names
// come and go as services do.
func (m *Manager) tickLeaving(now time.Time) {
	if len(m.leaving) == 0 {
		return
	}
	used := map[*telemetry.Cluster]bool{}
	for _, c := range *m.clusters.Load() {
		used[c.Stats] = true
	}
	m.leaving = slices.DeleteFunc(m.leaving, func(c *Cluster) bool {
		c.tick(now)
		switch {
		case used[c.Stats]:
			return true
		case c.Stats.CxActive.Load() > 0:
			return false
		}
		m.opts.Store.ForgetCluster(c.Stats)
		return true
	})
}
