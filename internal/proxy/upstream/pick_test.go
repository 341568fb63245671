package upstream

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

func hostAt(t *testing.T, c *Cluster, i int) *Host {
	t.Helper()
	for _, m := range c.current().members {
		if m.host.Address == numbered(i) {
			return m.host
		}
	}
	t.Fatalf("no host %s", numbered(i))
	return nil
}

// TestTriedHosts: a retry goes to another host as long as one is found within its attempts.
func TestTriedHosts(t *testing.T) {
	f := newFixture(t)
	for name, policy := range policies() {
		cfg := weighted(policy, 1, 1)
		cfg.Name = name
		c := f.apply(cfg)
		tried := []*Host{hostAt(t, c, 0)}
		same := 0
		for i := range 1000 {
			h, err := c.Pick(&Choice{Hash: mix(uint64(i)), Hashed: true, Tried: tried, Attempts: 10}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if h == tried[0] {
				same++
			}
		}
		if same > 5 {
			t.Errorf("%s: %d of 1000 retries went to the same host", name, same)
		}
		all := []*Host{hostAt(t, c, 0), hostAt(t, c, 1)}
		if h, err := c.Pick(&Choice{Tried: all, Attempts: 3}, nil); h == nil || err != nil {
			t.Errorf("%s: with all tried: %v, %v", name, h, err)
		}
	}
}

func TestOmitCanary(t *testing.T) {
	f := newFixture(t)
	list := endpoints(2)
	list[0].Metadata = map[string]map[string]any{"envoy.lb": {"canary": true}}
	c := f.apply(static("a", list...))
	for range 100 {
		if h, _ := c.Pick(&Choice{OmitCanary: true, Attempts: 5}, nil); h.Address == numbered(0) {
			t.Fatal("the canary was picked")
		}
	}
}

// labelled are hosts with metadata envoy.lb.
func labelled(list ...map[string]any) []*config.Endpoint {
	hosts := endpoints(len(list))
	for i, metadata := range list {
		hosts[i].Metadata = map[string]map[string]any{"envoy.lb": metadata}
	}
	return hosts
}

func TestSubsets(t *testing.T) {
	hosts := labelled(
		map[string]any{"version": "v1", "stage": "prod"}, map[string]any{"version": "v2", "stage": "prod"},
		map[string]any{"version": "v2", "stage": "dev"}, map[string]any{"n": 1.0, "b": true}, nil)
	f := newFixture(t)
	for name, c := range map[string]struct {
		fallback config.SubsetFallback
		match    map[string]any
		want     []int // hosts; none: ErrNoHost
	}{
		"one key":                     {0, map[string]any{"version": "v2"}, []int{1, 2}},
		"two keys":                    {0, map[string]any{"stage": "prod", "version": "v2"}, []int{1}},
		"no such value":               {0, map[string]any{"version": "v3"}, nil},
		"no such selector":            {0, map[string]any{"stage": "prod"}, nil},
		"no match asked for":          {0, nil, nil},
		"a number and a bool":         {0, map[string]any{"n": 1.0, "b": true}, []int{3}},
		"a text isn't a number":       {0, map[string]any{"n": "1", "b": true}, nil},
		"any":                         {config.SubsetAny, map[string]any{"version": "v3"}, []int{0, 1, 2, 3, 4}},
		"default":                     {config.SubsetDefault, map[string]any{"version": "v3"}, []int{0, 1}},
		"default, nothing asked for":  {config.SubsetDefault, nil, []int{0, 1}},
		"the subset before a default": {config.SubsetDefault, map[string]any{"version": "v1"}, []int{0}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := static(name, hosts...)
			cfg.LB.Subsets = &config.Subsets{
				Selectors: [][]string{{"version"}, {"version", "stage"}, {"b", "n"}},
				Fallback:  c.fallback, Default: map[string]any{"stage": "prod"},
			}
			want := map[string]float64{}
			for _, i := range c.want {
				want[numbered(i).String()] = 1 / float64(len(c.want))
			}
			cluster := f.apply(cfg)
			if len(want) == 0 {
				if h, err := cluster.Pick(&Choice{Subset: c.match}, nil); !errors.Is(err, ErrNoHost) {
					t.Errorf("%v, %v", h, err)
				}
				return
			}
			got := map[string]int{}
			for range 1000 {
				h, err := cluster.Pick(&Choice{Subset: c.match}, nil)
				if err != nil {
					t.Fatal(err)
				}
				got[h.String()]++
			}
			expectShares(t, got, want, 0.05)
		})
	}
}

func TestOriginalDst(t *testing.T) {
	f := newFixture(t)
	c := f.apply(&config.Cluster{Name: "a", Kind: config.OriginalDst})
	to := netip.MustParseAddrPort("192.0.2.1:443")
	h, err := c.Pick(&Choice{OriginalDst: to}, nil)
	if err != nil || h.Address != to {
		t.Fatalf("%v, %v", h, err)
	}
	mapped, _ := c.Pick(&Choice{OriginalDst: netip.MustParseAddrPort("[::ffff:192.0.2.1]:443")}, nil)
	if mapped != h {
		t.Error("the same address in IPv6's form is another host")
	}
	f.pass(time.Second)
	h.Active.Add(1)
	for range 3 {
		f.pass(time.Minute)
	}
	if h.Gone() {
		t.Error("it was forgotten with a request under way")
	}
	h.Active.Add(-1)
	f.pass(time.Minute)
	if !h.Gone() || len(c.Status().Hosts) != 0 {
		t.Error("it is remembered for ever")
	}
}

// TestOriginalDstInUse: who is picked in each interval stays.
func TestOriginalDstInUse(t *testing.T) {
	f := newFixture(t)
	c := f.apply(&config.Cluster{Name: "a", Kind: config.OriginalDst, OriginalDst: config.OriginalDstOptions{CleanupInterval: time.Minute}})
	first, _ := c.Pick(&Choice{OriginalDst: numbered(1)}, nil)
	for range 10 {
		f.pass(time.Minute)
		if h, _ := c.Pick(&Choice{OriginalDst: numbered(1)}, nil); h != first || h.Gone() {
			t.Fatal("it was forgotten while in use")
		}
	}
}

func TestOriginalDstPortOverride(t *testing.T) {
	f := newFixture(t)
	c := f.apply(&config.Cluster{Name: "a", Kind: config.OriginalDst, OriginalDst: config.OriginalDstOptions{PortOverride: 8080}})
	if h, _ := c.Pick(&Choice{OriginalDst: netip.MustParseAddrPort("192.0.2.1:443")}, nil); h.String() != "192.0.2.1:8080" {
		t.Errorf("got %s", h)
	}
}

func TestOriginalDstHeader(t *testing.T) {
	f := newFixture(t)
	connection := netip.MustParseAddrPort("192.0.2.1:443")
	for name, c := range map[string]struct {
		options config.OriginalDstOptions
		headers map[string]string
		want    string
	}{
		"not configured": {config.OriginalDstOptions{}, map[string]string{"x-envoy-original-dst-host": "10.0.0.1:80"}, connection.String()},
		"the usual name": {config.OriginalDstOptions{UseHeader: true}, map[string]string{"x-envoy-original-dst-host": "10.0.0.1:80"}, "10.0.0.1:80"},
		"another name":   {config.OriginalDstOptions{UseHeader: true, Header: "x-to"}, map[string]string{"x-to": "[fd00::1]:80"}, "[fd00::1]:80"},
		"not there":      {config.OriginalDstOptions{UseHeader: true}, nil, connection.String()},
		"not an address": {config.OriginalDstOptions{UseHeader: true}, map[string]string{"x-envoy-original-dst-host": "a.example:80"}, "invalid AddrPort"},
	} {
		t.Run(name, func(t *testing.T) {
			cluster := f.apply(&config.Cluster{Name: name, Kind: config.OriginalDst, OriginalDst: c.options})
			got := cluster.OriginalDst(connection, func(name string) (string, bool) { v, ok := c.headers[name]; return v, ok })
			if got.String() != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// TestOriginalsAreBounded: more destinations than are remembered still have hosts.
func TestOriginalsAreBounded(t *testing.T) {
	f := newFixture(t)
	c := f.apply(&config.Cluster{Name: "a", Kind: config.OriginalDst})
	for i := range maxOriginals + 10 {
		if h, err := c.Pick(&Choice{OriginalDst: numbered(i)}, nil); err != nil || h.Gone() != (i >= maxOriginals) {
			t.Fatalf("%d: %v, %v", i, h, err)
		}
	}
}
