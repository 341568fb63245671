package upstream

import (
	"errors"
	"testing"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

const usual = config.HealthStatuses(1<<config.StatusUnknown | 1<<config.StatusHealthy | 1<<config.StatusDegraded)

// bound is an override's answer: a host's address, or the error.
func bound(c *Cluster, host string, strict bool) string {
	h, err := c.Pick(&Choice{Override: Override{Host: host, Strict: strict}, Hashed: true}, &stream.Trace{})
	if err != nil {
		return err.Error()
	}
	return h.String()
}

// TestOverride: a request is bound to a host that the cluster has and whose health is allowed; no other address is ever
// dialled, whatever the client says.
func TestOverride(t *testing.T) {
	hosts := endpoints(6)
	for status := range hosts {
		hosts[status].Status = uint8(status)
	}
	for i, health := range map[int]config.Health{2: config.Unhealthy, 3: config.Draining, 4: config.Unhealthy, 5: config.Degraded} {
		hosts[i].Health = health
	}
	hosts = append(hosts, &config.Endpoint{Pipe: "/run/app"})
	f := newFixture(t)
	cfg := static("a", hosts...)
	cfg.LB.Policy, cfg.LB.Overridable, cfg.LB.RingMin, cfg.LB.RingMax = config.LBRingHash, usual, 64, 64
	c := f.apply(cfg)
	balanced := bound(c, "", false)
	for name, want := range map[string]struct{ loose, strict string }{
		"10.0.0.0:80": {"10.0.0.0:80", "10.0.0.0:80"}, "10.0.0.1:80": {"10.0.0.1:80", "10.0.0.1:80"},
		"10.0.0.5:80":  {"10.0.0.5:80", "10.0.0.5:80"}, // degraded
		"10.0.0.2:80":  {balanced, ErrNoHost.Error()},  // unhealthy
		"10.0.0.3:80":  {balanced, ErrNoHost.Error()},  // draining
		"10.0.0.4:80":  {balanced, ErrNoHost.Error()},  // timeout
		"192.0.2.1:80": {balanced, ErrNotBound.Error()}, "10.0.0.1:81": {balanced, ErrNotBound.Error()},
		"127.0.0.1:15000": {balanced, ErrNotBound.Error()}, "/run/other": {balanced, ErrNotBound.Error()},
		"no address": {balanced, ErrNotBound.Error()}, "/run/app": {"/run/app", "/run/app"},
	} {
		if got := bound(c, name, false); got != want.loose {
			t.Errorf("%s: %s, want %s", name, got, want.loose)
		}
		if got := bound(c, name, true); got != want.strict {
			t.Errorf("%s, strictly: %s, want %s", name, got, want.strict)
		}
	}
	if !errors.Is(ErrNotBound, ErrNoHost) {
		t.Error("ErrNotBound is no ErrNoHost")
	}
	hostAt(t, c, 1).set(failedOutlier)
	if got := bound(c, "10.0.0.1:80", true); got != ErrNoHost.Error() {
		t.Errorf("an ejected host: %s", got)
	}
	next := *cfg
	next.LB.Overridable = 0
	c = f.apply(&next)
	if got := bound(c, "10.0.0.0:80", true); got != ErrNoHost.Error() {
		t.Errorf("with no status allowed: %s", got)
	}
}

// TestOverrideInSubset: the route's metadata_match counts, whichever host the client asks for.
func TestOverrideInSubset(t *testing.T) {
	for name, c := range map[string]struct {
		fallback config.SubsetFallback
		match    map[string]any
		host     int
		want     bool
	}{
		"in it":              {0, map[string]any{"v": "2"}, 1, true},
		"in another one":     {config.SubsetAny, map[string]any{"v": "2"}, 0, false},
		"any":                {config.SubsetAny, map[string]any{"v": "3"}, 0, true},
		"none":               {0, map[string]any{"v": "3"}, 0, false},
		"default":            {config.SubsetDefault, nil, 0, true},
		"not of the default": {config.SubsetDefault, nil, 1, false},
	} {
		f := newFixture(t)
		cfg := static("a", labelled(map[string]any{"v": "1"}, map[string]any{"v": "2"})...)
		cfg.LB.Overridable = usual
		cfg.LB.Subsets = &config.Subsets{Selectors: [][]string{{"v"}}, Fallback: c.fallback, Default: map[string]any{"v": "1"}}
		h, err := f.apply(cfg).Pick(&Choice{Subset: c.match, Override: Override{Host: numbered(c.host).String(), Strict: true}}, nil)
		if (err == nil) != c.want || err == nil && h.Address != numbered(c.host) {
			t.Errorf("%s: %v, %v", name, h, err)
		}
	}
}

// TestOverrideOfOriginalDst: such a cluster's hosts are where connections were going, and nothing else.
func TestOverrideOfOriginalDst(t *testing.T) {
	f := newFixture(t)
	c := f.apply(&config.Cluster{Name: "a", Kind: config.OriginalDst, LB: config.LB{Overridable: usual}})
	for _, o := range []struct {
		o    Override
		want error
	}{
		{Override{}, nil}, {Override{Host: "10.0.0.2:80"}, nil}, {Override{Host: "10.0.0.1:80", Strict: true}, nil},
		{Override{Host: "10.0.0.2:80", Strict: true}, ErrNotBound},
	} {
		h, err := c.Pick(&Choice{OriginalDst: numbered(1), Override: o.o}, nil)
		if !errors.Is(err, o.want) || err == nil && h.Address != numbered(1) {
			t.Errorf("%+v: %v, %v", o.o, h, err)
		}
	}
}

// TestOverrideAllocates: nothing, once the index is made.
func TestOverrideAllocates(t *testing.T) {
	c := benchCluster(t, config.LBRandom, 10)
	cfg := *c.Config()
	cfg.LB.Overridable = usual
	c.manager.Apply(config.NewRuntime(nil, []*config.Cluster{&cfg}))
	for _, choice := range []Choice{{}, {Override: Override{Host: "10.0.0.3:80"}}} {
		if n := testing.AllocsPerRun(100, func() { _, _ = c.Pick(&choice, nil) }); n > 0 {
			t.Errorf("%+v: %v allocations", choice.Override, n)
		}
	}
}
