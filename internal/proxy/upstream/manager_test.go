package upstream

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// fixture is a manager whose clock stands, whose dice are the same in each run, and which ticks only when told.
type fixture struct {
	*Manager
	mu  sync.Mutex
	now time.Time
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{now: time.Unix(1000, 0)}
	dice := rand.New(rand.NewPCG(1, 2))
	f.Manager = NewManager(Options{Tick: -1, Now: f.clock, LocalAddrs: localAddrs, Random: func() uint64 {
		f.mu.Lock()
		defer f.mu.Unlock()
		return dice.Uint64()
	}})
	t.Cleanup(f.Close)
	return f
}

func (f *fixture) clock() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

// pass lets time pass, and ticks.
func (f *fixture) pass(d time.Duration) {
	f.mu.Lock()
	f.now = f.now.Add(d)
	f.mu.Unlock()
	f.tick(f.clock())
}

// apply makes these the clusters there are, and returns the first.
func (f *fixture) apply(clusters ...*config.Cluster) *Cluster {
	f.Apply(config.NewRuntime(nil, clusters))
	return f.Cluster(clusters[0].Name)
}

// static is a cluster of one locality.
func static(name string, hosts ...*config.Endpoint) *config.Cluster {
	return localities(name, config.Locality{Hosts: hosts})
}

func localities(name string, l ...config.Locality) *config.Cluster {
	limit := config.Breaker{Connections: 1024, Pending: 1024, Requests: 1024, Retries: 3}
	return &config.Cluster{
		Name: name, Kind: config.EDS, ConnectTimeout: 5 * time.Second, Breakers: [2]config.Breaker{limit, limit},
		LB: config.LB{Bias: 1, PanicPercent: 50}, Endpoints: config.NewCell(&config.Endpoints{Localities: l}),
	}
}

// endpoints returns n hosts 10.0.0.0:80, 10.0.0.1:80 …
func endpoints(n int) []*config.Endpoint {
	list := make([]*config.Endpoint, n)
	for i := range list {
		list[i] = &config.Endpoint{Address: numbered(i)}
	}
	return list
}

func numbered(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 80)
}

// picks counts the hosts n picks lead to, by address. Each pick has another hash.
func picks(t *testing.T, c *Cluster, n int) map[string]int {
	t.Helper()
	counts := map[string]int{}
	for i := range n {
		host, err := c.Pick(&Choice{Hash: mix(uint64(i)), Hashed: true}, nil)
		if err != nil {
			t.Fatal(err)
		}
		counts[host.String()]++
	}
	return counts
}

func TestPickKeepsHostsAcrossUpdates(t *testing.T) {
	f := newFixture(t)
	list := endpoints(3)
	c := f.apply(static("a", list...))
	before, err := c.Pick(&Choice{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	before.Stats.RqTotal.Add(7)
	list = endpoints(4)
	list[0], list[3] = list[3], list[0]
	c.Config().Endpoints.Store(&config.Endpoints{Localities: []config.Locality{{Hosts: list}}})
	found := 0
	for _, h := range c.Status().Hosts {
		if h.Host == before && h.RqTotal == 7 && h.Host.Endpoint() != nil {
			found++
		}
	}
	if found != 1 || len(c.Status().Hosts) != 4 {
		t.Errorf("the host isn't the same: %+v", c.Status().Hosts)
	}
}

func TestErrNoHost(t *testing.T) {
	f := newFixture(t)
	for name, c := range map[string]*config.Cluster{
		"no endpoints yet":   {Kind: config.EDS, Endpoints: config.NewCell[config.Endpoints](nil)},
		"no endpoints":       static(""),
		"no cell":            {Kind: config.StaticHosts},
		"original unknown":   {Kind: config.OriginalDst},
		"a name, not looked": static("", &config.Endpoint{Name: "a.example", Port: 80}),
		"unhealthy, and no panic": func() *config.Cluster {
			c := static("", &config.Endpoint{Address: numbered(1), Health: config.Unhealthy})
			c.LB.PanicPercent = 0
			return c
		}(),
	} {
		t.Run(name, func(t *testing.T) {
			c.Name = name
			trace := &stream.Trace{}
			if host, err := f.apply(c).Pick(&Choice{}, trace); !errors.Is(err, ErrNoHost) {
				t.Errorf("%v, %v", host, err)
			}
			if len(trace.Steps) == 0 {
				t.Error("the trace says nothing")
			}
		})
	}
}

func TestRemovedClusterHasNoHosts(t *testing.T) {
	f := newFixture(t)
	c := f.apply(static("a", endpoints(2)...), static("b", endpoints(2)...))
	host, _ := c.Pick(&Choice{}, nil)
	f.apply(static("b", endpoints(2)...))
	if f.Cluster("a") != nil || !host.Gone() {
		t.Error("the cluster is still there")
	}
	if _, err := c.Pick(&Choice{}, nil); !errors.Is(err, ErrNoHost) {
		t.Errorf("who held it got %v", err)
	}
	f.pass(time.Second)
	if len(f.leaving) != 0 {
		t.Error("it is kept for ever")
	}
}

// TestCountersOfRemovedClusters are forgotten with the last connection, unless another cluster counts under that name.
func TestCountersOfRemovedClusters(t *testing.T) {
	f := newFixture(t)
	b := static("b")
	b.StatName = "a"
	a := f.apply(static("a"), b)
	f.apply(b)
	f.pass(time.Second)
	if f.opts.Store.Cluster("a") != a.Stats {
		t.Error("counters were forgotten that b uses")
	}
	a.Stats.CxActive.Add(1)
	f.apply(static("c"))
	f.pass(time.Second)
	if len(f.leaving) == 0 || f.opts.Store.Cluster("a") != a.Stats {
		t.Error("counters were forgotten while there are connections")
	}
	a.Stats.CxActive.Add(-1)
	f.pass(time.Second)
	if len(f.leaving) != 0 || f.opts.Store.Cluster("a") == a.Stats {
		t.Error("counters are kept for ever")
	}
}

func TestTrace(t *testing.T) {
	f := newFixture(t)
	trace := &stream.Trace{}
	list := endpoints(3)
	list[2].Health = config.Unhealthy
	cfg := localities("a", config.Locality{Region: "r", Hosts: list})
	cfg.LB.Policy = config.LBLeastRequest
	host, err := f.apply(cfg).Pick(&Choice{Hash: 7, Hashed: true}, trace)
	want := fmt.Sprintf("[{policy LEAST_REQUEST over 3 hosts, by hash 7} {host 10.0.0.2:80 is not healthy: /failed_eds_health} "+
		"{priority 0 takes 100 %% of requests to 2 healthy hosts} {host %s of priority 0, locality r//}]", host)
	if got := fmt.Sprint(trace.Steps); err != nil || got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestDrops: the control plane has a quarter of all requests dropped.
func TestDrops(t *testing.T) {
	f := newFixture(t)
	cfg := static("a", endpoints(1)...)
	cfg.Endpoints.Load().DropPerMillion = 250000
	c := f.apply(cfg)
	dropped := 0
	for range 10000 {
		if _, err := c.Pick(&Choice{}, nil); errors.Is(err, ErrDropped) {
			dropped++
		}
	}
	if dropped < 2400 || dropped > 2600 {
		t.Errorf("%d of 10000 were dropped", dropped)
	}
}

func TestBreakers(t *testing.T) {
	f := newFixture(t)
	cfg := static("a", endpoints(1)...)
	cfg.Breakers[DefaultPriority] = config.Breaker{Connections: 1, Pending: 1, Requests: 1, Retries: 1, TrackRemaining: true}
	c := f.apply(cfg)
	c.current()
	for name, b := range map[string]struct {
		try  func(Priority) bool
		done func(Priority)
		over func() uint64
	}{
		"requests":    {c.TryRequest, c.DoneRequest, c.Stats.RqPendingOverflow.Load},
		"pending":     {c.TryPending, c.DonePending, c.Stats.RqPendingOverflow.Load},
		"connections": {c.TryConnect, c.DoneConnect, c.Stats.CxOverflow.Load},
		"retries":     {c.TryRetry, c.DoneRetry, c.Stats.RqRetryOverflow.Load},
	} {
		before := b.over()
		if !b.try(DefaultPriority) || b.try(DefaultPriority) || b.over() != before+1 {
			t.Errorf("%s: the limit of one isn't kept, or not counted", name)
		}
		if !b.try(HighPriority) {
			t.Errorf("%s: priorities aren't apart", name)
		}
		b.done(DefaultPriority)
		if !b.try(DefaultPriority) {
			t.Errorf("%s: the place isn't given back", name)
		}
	}
	f.pass(time.Second)
	if s := &c.Stats.Breakers[DefaultPriority]; s.CxOpen.Load()+s.RqOpen.Load()+s.RqPendingOpen.Load()+s.RqRetryOpen.Load() != 4 || s.RemainingRq.Load() != 0 {
		t.Error("the gauges don't say that all are open")
	}
	c.DoneRequest(DefaultPriority)
	f.pass(time.Second)
	if s := &c.Stats.Breakers[DefaultPriority]; s.RqOpen.Load() != 0 || s.RemainingRq.Load() != 1 {
		t.Error("the gauge of requests says it is open still")
	}
}

// TestRetryBudget: 20 % of what is under way, at least 3.
func TestRetryBudget(t *testing.T) {
	f := newFixture(t)
	cfg := static("a", endpoints(1)...)
	cfg.Breakers[DefaultPriority].BudgetPercent, cfg.Breakers[DefaultPriority].BudgetMin = 20, 3
	c := f.apply(cfg)
	for _, step := range []struct{ requests, want int }{{0, 3}, {10, 3}, {20, 4}, {100, 20}} {
		c.breakers[DefaultPriority].requests.Store(int64(step.requests))
		got := 0
		for c.TryRetry(DefaultPriority) {
			got++
		}
		for range got {
			c.DoneRetry(DefaultPriority)
		}
		if got != step.want {
			t.Errorf("%d requests: %d retries, want %d", step.requests, got, step.want)
		}
	}
}
