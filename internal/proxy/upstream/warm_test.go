package upstream

import (
	"context"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// counting is a resolver that counts what it is asked.
type counting struct {
	Resolver
	asked *atomic.Int32
}

func (c counting) Resolve(ctx context.Context, name string, v4, v6 bool) ([]netip.Addr, time.Duration, error) {
	c.asked.Add(1)
	return c.Resolver.Resolve(ctx, name, v4, v6)
}

// TestWarm: a cluster whose names were looked up before has its hosts from the first request on, and nobody is asked twice.
func TestWarm(t *testing.T) {
	var asked atomic.Int32
	r := zone{map[string]answer{"a": {addresses: "10.0.0.1"}}}
	m := NewManager(Options{Tick: -1, LocalAddrs: localAddrs, Resolver: counting{r, &asked}})
	defer m.Close()
	cfg := named(config.LogicalDNS, config.DNSOptions{V4: true, Refresh: time.Hour}, "a")
	<-m.Warm(cfg)
	m.Apply(config.NewRuntime(nil, []*config.Cluster{cfg}))
	c := m.Cluster("a")
	if h, err := c.Pick(&Choice{}, nil); err != nil || h.String() != "10.0.0.1:80" {
		t.Errorf("%v, %v", h, err)
	}
	<-c.Warm()
	if n, counted := asked.Load(), c.Stats.UpdateSuccess.Load(); n != 1 || counted != 1 {
		t.Errorf("asked %d times, %d counted", n, counted)
	}
	next := *cfg
	next.LB.Policy = config.LBRandom
	if m.Warm(&next) != nil {
		t.Error("the names are known, there is nothing to wait for")
	}
	if m.Warm(static("b")) != nil {
		t.Error("a cluster without names is warm")
	}
}

// TestWarmFails: a name nobody knows is an answer too; it is asked for again once the cluster is there.
func TestWarmFails(t *testing.T) {
	r := zone{map[string]answer{}}
	m := NewManager(Options{Tick: -1, LocalAddrs: localAddrs, Resolver: r})
	defer m.Close()
	cfg := named(config.StrictDNS, config.DNSOptions{V4: true, Refresh: time.Hour}, "a")
	<-m.Warm(cfg)
	r.answers["a"] = answer{addresses: "10.0.0.1"}
	m.Apply(config.NewRuntime(nil, []*config.Cluster{cfg}))
	<-m.Cluster("a").Warm()
	if h, err := m.Cluster("a").Pick(&Choice{}, nil); err != nil || h.String() != "10.0.0.1:80" {
		t.Errorf("%v, %v", h, err)
	}
}
