package upstream

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// randomEndpoints are up to so many hosts of a small range of addresses, in any order, some twice, in a few localities.
func randomEndpoints(dice *rand.Rand, most int) *config.Endpoints {
	e := &config.Endpoints{Localities: make([]config.Locality, 1+dice.IntN(3))}
	for i := range e.Localities {
		l := &e.Localities[i]
		l.Region, l.Priority, l.Weight = fmt.Sprint("r", dice.IntN(2)), uint32(dice.IntN(2)), uint32(dice.IntN(3))
		for range dice.IntN(most) {
			host := &config.Endpoint{Address: numbered(dice.IntN(2 * most)), Weight: uint32(dice.IntN(4)), Health: config.Health(dice.IntN(4))}
			switch dice.IntN(10) {
			case 0:
				host = &config.Endpoint{Pipe: fmt.Sprint("/run/", dice.IntN(3))}
			case 1, 2, 3:
				host.TLSMatch = map[string]string{"tlsMode": []string{"istio", "disabled"}[dice.IntN(2)]}
			}
			l.Hosts = append(l.Hosts, host)
		}
	}
	return e
}

// picture is all of a set that can be seen, without what differs from process to process.
func picture(c *Cluster) string {
	var b strings.Builder
	set := c.current()
	for _, m := range set.members {
		s := m.host.Status()
		fmt.Fprintln(&b, s.Address, s.Weight, s.Region, s.Priority, s.HealthFlags, m.weight, m.available, m.host.Gone(), m.host.match, set.places[m.place] == m.host.Locality())
	}
	for _, s := range set.balancer.shares {
		fmt.Fprintln(&b, s.below, s.priority, s.kind, s.panics, s.hosts.size, len(s.hosts.places))
	}
	fmt.Fprintln(&b, c.Stats.MembershipTotal.Load(), c.Stats.MembershipHealthy.Load(), len(c.known))
	return b.String()
}

// TestUpdatesEndAsAFreshBuild: whatever came before, the last endpoints give what they give to a cluster that is new.
// Hosts keep their identity as long as their address is there and is dialled in the same way.
func TestUpdatesEndAsAFreshBuild(t *testing.T) {
	f := newFixture(t)
	for seed := range uint64(200) {
		dice := rand.New(rand.NewPCG(seed, 1))
		cfg := static("a")
		cfg.LB.LocalityWeighted = dice.IntN(2) == 0
		c := f.apply(cfg)
		var last *config.Endpoints
		for range 1 + dice.IntN(20) {
			before := map[hostKey]*Host{}
			for _, m := range c.current().members {
				before[hostKey{m.host.Address, m.host.Pipe}] = m.host
			}
			last = randomEndpoints(dice, 12)
			cfg.Endpoints.Store(last)
			for _, m := range c.current().members {
				old := before[hostKey{m.host.Address, m.host.Pipe}]
				delete(before, hostKey{m.host.Address, m.host.Pipe})
				if same := old != nil && sameTransport(old.match, m.host.match); m.host.Gone() || same != (old == m.host) || old != nil && old != m.host && !old.Gone() {
					t.Fatalf("seed %d: host %s: %p was %p, same way: %v", seed, m.host, m.host, old, same)
				}
			}
			for _, h := range before {
				if !h.Gone() {
					t.Fatalf("seed %d: host %s isn't gone", seed, h)
				}
			}
			switch dice.IntN(6) {
			case 0, 1:
				f.pass(time.Second)
			case 2: // a change of the cluster: new connections, or another policy
				next := *cfg
				next.LB.Policy, next.LB.LocalityWeighted = config.LBPolicy(dice.IntN(5)), dice.IntN(2) == 0
				if dice.IntN(2) == 0 {
					next.TLS = &config.ClientTLS{SNI: fmt.Sprint(dice.Uint32())}
				}
				cfg = &next
				f.apply(cfg)
			}
		}
		fresh := *cfg
		fresh.Name, fresh.Endpoints = "fresh", config.NewCell(last)
		f.apply(&fresh, cfg)
		if got, want := picture(c), picture(f.Cluster("fresh")); got != want {
			t.Fatalf("seed %d: got\n%s\nwant\n%s", seed, got, want)
		}
	}
}

// TestConfigChanges: which changes of a cluster leave its hosts, with their connections, as they are.
func TestConfigChanges(t *testing.T) {
	tls := &config.ClientTLS{SNI: "a"}
	for name, c := range map[string]struct {
		change func(*config.Cluster)
		kept   bool
	}{
		"nothing":           {func(*config.Cluster) {}, true},
		"policy":            {func(c *config.Cluster) { c.LB.Policy = config.LBMaglev }, true},
		"breakers":          {func(c *config.Cluster) { c.Breakers[0].Requests = 1 }, true},
		"outlier detection": {func(c *config.Cluster) { c.Outlier = envoysOutlier() }, true},
		"the same TLS":      {func(c *config.Cluster) { c.TLS = &config.ClientTLS{SNI: "a"} }, true},
		"another SNI":       {func(c *config.Cluster) { c.TLS = &config.ClientTLS{SNI: "b"} }, false},
		"no TLS":            {func(c *config.Cluster) { c.TLS = nil }, false},
		"source address":    {func(c *config.Cluster) { c.SourceV4 = numbered(1).Addr() }, false},
		"protocol":          {func(c *config.Cluster) { c.HTTP.Protocol = config.UpstreamHTTP2 }, false},
		"keepalive":         {func(c *config.Cluster) { c.KeepAlive = &config.TCPKeepAlive{} }, false},
		"transport matches": {func(c *config.Cluster) { c.TLSMatches = []config.TransportMatch{{}} }, false},
		"kind of hosts":     {func(c *config.Cluster) { c.Kind = config.StaticHosts }, false},
		"connect timeout":   {func(c *config.Cluster) { c.ConnectTimeout = time.Hour }, true},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			cfg := static("a", endpoints(2)...)
			cfg.TLS = tls
			cluster := f.apply(cfg)
			before := hostAt(t, cluster, 0)
			before.Stats.CxTotal.Add(3)
			next := *cfg
			c.change(&next)
			if f.apply(&next) != cluster {
				t.Fatal("the cluster is another one")
			}
			after := hostAt(t, cluster, 0)
			if (before == after) != c.kept || before.Gone() == c.kept {
				t.Errorf("kept: %v", before == after)
			}
			if after.Stats.CxTotal.Load() != 3 {
				t.Error("counters began anew")
			}
		})
	}
}

// TestPickDuringUpdates: under the race detector, picks, results and updates at once. Every pick finds a host, for each
// version of the endpoints has some.
func TestPickDuringUpdates(t *testing.T) {
	m := NewManager(Options{Tick: time.Millisecond, LocalAddrs: localAddrs})
	defer m.Close()
	cfg := static("a", endpoints(5)...)
	cfg.Outlier = envoysOutlier()
	cfg.LB.Policy = config.LBRingHash
	m.Apply(config.NewRuntime(nil, []*config.Cluster{cfg}))
	stop := make(chan struct{})
	var work sync.WaitGroup
	for i := range 4 {
		work.Go(func() {
			dice := rand.New(rand.NewPCG(uint64(i), 1))
			for {
				select {
				case <-stop:
					return
				default:
				}
				h, err := m.Cluster("a").Pick(&Choice{Hash: dice.Uint64(), Hashed: true}, &stream.Trace{})
				if err != nil {
					t.Error(err)
					return
				}
				h.Active.Add(1)
				h.Result(Outcome(dice.IntN(int(ConnectedFinal) + 1)))
				h.Active.Add(-1)
			}
		})
	}
	for i := range 300 {
		cfg.Endpoints.Store(&config.Endpoints{Localities: []config.Locality{{Hosts: endpoints(6 + i%5)[i%3:]}}})
		if i%10 == 0 {
			next := *cfg
			next.LB.Policy = config.LBPolicy(i / 10 % 5)
			m.Apply(config.NewRuntime(nil, []*config.Cluster{&next}))
		}
		m.Statuses(func(*Status) bool { return true })
	}
	close(stop)
	work.Wait()
}
