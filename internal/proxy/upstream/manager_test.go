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

func TestTrace(t *testing.T) {
	f := newFixture(t)
	trace := &stream.Trace{}
	host, err := f.apply(static("a", endpoints(2)...)).Pick(&Choice{}, trace)
	want := fmt.Sprintf("[{priority 0 takes 100 %% of requests to 2 healthy hosts} {host %s of priority 0, locality //}]", host)
	if got := fmt.Sprint(trace.Steps); err != nil || got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
