package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// zone is a resolver that knows what it is told.
type zone struct{ answers map[string]answer }

type answer struct {
	addresses string // separated by blanks
	ttl       time.Duration
	err       error
}

func (r zone) Resolve(_ context.Context, name string, v4, v6 bool) ([]netip.Addr, time.Duration, error) {
	a, ok := r.answers[name]
	if !ok {
		return nil, 0, errors.New("no such host")
	}
	var found []netip.Addr
	for _, text := range strings.Fields(a.addresses) {
		if at := netip.MustParseAddr(text); at.Is4() && v4 || at.Is6() && v6 {
			found = append(found, at)
		}
	}
	return found, a.ttl, a.err
}

func named(kind config.ClusterKind, o config.DNSOptions, hosts ...string) *config.Cluster {
	c := static("a")
	c.Kind, c.DNS = kind, o
	l := config.Locality{}
	for i, name := range hosts {
		l.Hosts = append(l.Hosts, &config.Endpoint{Name: name, Port: uint16(80 + i)})
	}
	c.Endpoints.Store(&config.Endpoints{Localities: []config.Locality{l}})
	return c
}

func (n *names) text() string {
	var list []string
	for _, l := range n.resolved.Load().Localities {
		for _, h := range l.Hosts {
			list = append(list, fmt.Sprintf("%s%v%s", h.Address, h.Additional, h.Hostname))
		}
	}
	return strings.Join(list, " ")
}

func noDice() uint64 { return 0 }

func TestNames(t *testing.T) {
	both := config.DNSOptions{V4: true, V6: true}
	for name, c := range map[string]struct {
		kind    config.ClusterKind
		options config.DNSOptions
		answer  string
		want    string
	}{
		"strict: all, sorted":     {config.StrictDNS, both, "10.0.0.2 10.0.0.1 10.0.0.2", "10.0.0.1:80[]a.example 10.0.0.2:80[]a.example"},
		"logical: the first":      {config.LogicalDNS, both, "10.0.0.2 10.0.0.1", "10.0.0.2:80[10.0.0.1:80]a.example"},
		"IPv6 preferred":          {config.StrictDNS, both, "10.0.0.1 fd00::1", "[fd00::1]:80[]a.example"},
		"IPv6 preferred, none is": {config.StrictDNS, both, "10.0.0.1", "10.0.0.1:80[]a.example"},
		"IPv4 preferred":          {config.StrictDNS, config.DNSOptions{V4: true, V6: true, PreferV4: true}, "10.0.0.1 fd00::1", "10.0.0.1:80[]a.example"},
		"IPv4 preferred, none is": {config.StrictDNS, config.DNSOptions{V4: true, V6: true, PreferV4: true}, "fd00::1", "[fd00::1]:80[]a.example"},
		"IPv4 only":               {config.StrictDNS, config.DNSOptions{V4: true}, "10.0.0.1 fd00::1", "10.0.0.1:80[]a.example"},
		"IPv6 only, none is":      {config.StrictDNS, config.DNSOptions{V6: true}, "10.0.0.1", ""},
		"all of both":             {config.StrictDNS, config.DNSOptions{V4: true, V6: true, All: true}, "fd00::1 10.0.0.1", "10.0.0.1:80[]a.example [fd00::1]:80[]a.example"},
		"nothing told: both":      {config.StrictDNS, config.DNSOptions{All: true}, "fd00::1 10.0.0.1", "10.0.0.1:80[]a.example [fd00::1]:80[]a.example"},
		"mapped":                  {config.StrictDNS, both, "::ffff:10.0.0.1", "10.0.0.1:80[]a.example"},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNames(named(c.kind, c.options, "a.example"), zone{map[string]answer{"a.example": {addresses: c.answer}}}, noDice)
			n.round(t.Context())
			if got := n.text(); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// TestOldAddressesStay while look-ups fail, for the names that fail.
func TestOldAddressesStay(t *testing.T) {
	r := zone{map[string]answer{"a": {addresses: "10.0.0.1"}, "b": {addresses: "10.0.0.2"}}}
	n := newNames(named(config.StrictDNS, config.DNSOptions{V4: true}, "a", "b", "10.0.0.9"), r, noDice)
	n.round(t.Context())
	want := "10.0.0.1:80[]a 10.0.0.2:81[]b 10.0.0.9:82[]10.0.0.9"
	if got := n.text(); got != want {
		t.Fatalf("got %s", got)
	}
	before := n.resolved.Load()
	r.answers["a"] = answer{err: errors.New("SERVFAIL")}
	n.round(t.Context())
	if n.resolved.Load() != before {
		t.Error("hosts were replaced though nothing changed")
	}
	r.answers["b"] = answer{addresses: "10.0.0.3"}
	n.round(t.Context())
	if got := n.text(); got != strings.Replace(want, "10.0.0.2", "10.0.0.3", 1) {
		t.Errorf("got %s", got)
	}
	n.cluster.Endpoints.Store(named(config.StrictDNS, config.DNSOptions{}, "b").Endpoints.Load())
	n.round(t.Context())
	if len(n.answers.by) != 1 {
		t.Errorf("names that are no more are remembered: %v", n.answers)
	}
}

// TestLogicalStays: an address is used as long as answers have it, wherever they put it.
func TestLogicalStays(t *testing.T) {
	r := zone{map[string]answer{}}
	n := newNames(named(config.LogicalDNS, config.DNSOptions{V4: true}, "a"), r, noDice)
	for _, c := range [][2]string{
		{"10.0.0.2 10.0.0.1", "10.0.0.2:80[10.0.0.1:80]a"}, {"10.0.0.1 10.0.0.2", "10.0.0.2:80[10.0.0.1:80]a"},
		{"10.0.0.3 10.0.0.1", "10.0.0.3:80[10.0.0.1:80]a"},
	} {
		r.answers["a"] = answer{addresses: c[0]}
		n.round(t.Context())
		if got := n.text(); got != c[1] {
			t.Errorf("after %s: %s, want %s", c[0], got, c[1])
		}
	}
}

func TestWaits(t *testing.T) {
	second := time.Second
	ok, short, bad := answer{addresses: "10.0.0.1", ttl: 30 * second}, answer{addresses: "10.0.0.1", ttl: second / 10}, answer{err: errors.New("SERVFAIL")}
	for name, c := range map[string]struct {
		options config.DNSOptions
		answers []answer
		want    []time.Duration
	}{
		"refresh unset":    {config.DNSOptions{}, []answer{ok}, []time.Duration{5 * second}},
		"refresh":          {config.DNSOptions{Refresh: 7 * second}, []answer{ok}, []time.Duration{7 * second}},
		"TTL":              {config.DNSOptions{RespectTTL: true}, []answer{ok, short}, []time.Duration{30 * second, second}},
		"jitter":           {config.DNSOptions{Jitter: 3}, []answer{ok}, []time.Duration{5*second + 1}},
		"failures double":  {config.DNSOptions{FailureBase: 2 * second, FailureMax: 5 * second}, []answer{bad, bad, bad, ok, bad}, []time.Duration{second + 1, 2*second + 1, 5*second/2 + 1, 5 * second, second + 1}},
		"failures unset":   {config.DNSOptions{}, []answer{bad, bad}, []time.Duration{5*second/2 + 1, 5*second + 1}},
		"it never shrinks": {config.DNSOptions{FailureBase: second, FailureMax: second}, slices.Repeat([]answer{bad}, 80), slices.Repeat([]time.Duration{second/2 + 1}, 80)},
	} {
		t.Run(name, func(t *testing.T) {
			r := zone{map[string]answer{}}
			n := newNames(named(config.StrictDNS, c.options, "a"), r, func() uint64 { return 1 })
			for i := range c.answers {
				r.answers["a"] = c.answers[i]
				if got := n.round(t.Context()); got != c.want[i] {
					t.Errorf("round %d: %s, want %s", i, got, c.want[i])
				}
			}
		})
	}
}

// TestLocalhost: one real look-up, from the cluster to the host.
func TestLocalhost(t *testing.T) {
	f := newFixture(t)
	c := f.apply(named(config.StrictDNS, config.DNSOptions{V4: true}, "localhost"))
	<-c.Warm()
	h, err := c.Pick(&Choice{}, nil)
	if err != nil || h.String() != "127.0.0.1:80" || h.Endpoint().Hostname != "localhost" {
		t.Errorf("%v, %v", h, err)
	}
	if c.Stats.UpdateSuccess.Load() != 1 {
		t.Error("the look-up wasn't counted")
	}
}

// TestNamesChange: a cluster that gets other names keeps its hosts until these are looked up.
func TestNamesChange(t *testing.T) {
	release := make(chan struct{})
	m := NewManager(Options{Tick: -1, LocalAddrs: localAddrs, Resolver: blocking{release, "b"}})
	defer m.Close()
	apply := func(name string) *Cluster {
		m.Apply(config.NewRuntime(nil, []*config.Cluster{named(config.StrictDNS, config.DNSOptions{V4: true}, name)}))
		return m.Cluster("a")
	}
	c := apply("a")
	<-c.Warm()
	before, err := c.Pick(&Choice{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	apply("b")
	if h, err := c.Pick(&Choice{}, nil); h != before || err != nil {
		t.Errorf("while b is looked up: %v, %v", h, err)
	}
	close(release)
	<-c.Warm()
	if h, err := c.Pick(&Choice{}, nil); err != nil || h.Endpoint().Hostname != "b" || !before.Gone() {
		t.Errorf("after it: %v, %v", h, err)
	}
}

// TestAddressesOutliveTheConfiguration: a cluster that changes while its resolver fails keeps its hosts.
func TestAddressesOutliveTheConfiguration(t *testing.T) {
	r := zone{map[string]answer{"a": {addresses: "10.0.0.1"}}}
	m := NewManager(Options{Tick: -1, LocalAddrs: localAddrs, Resolver: r})
	defer m.Close()
	cfg := named(config.StrictDNS, config.DNSOptions{Refresh: time.Hour}, "a")
	m.Apply(config.NewRuntime(nil, []*config.Cluster{cfg}))
	c := m.Cluster("a")
	<-c.Warm()
	before, _ := c.Pick(&Choice{}, nil)
	delete(r.answers, "a")
	next := *cfg
	next.LB.Policy = config.LBRandom
	m.Apply(config.NewRuntime(nil, []*config.Cluster{&next}))
	<-c.Warm()
	if h, err := c.Pick(&Choice{}, nil); h == nil || h != before || err != nil || c.Stats.UpdateFailure.Load() != 1 {
		t.Errorf("%v, %v after %d failures", h, err, c.Stats.UpdateFailure.Load())
	}
}

// blocking answers one name only when it is released. Each name has an address of its own.
type blocking struct {
	release chan struct{}
	name    string
}

func (b blocking) Resolve(ctx context.Context, name string, _, _ bool) ([]netip.Addr, time.Duration, error) {
	if name == b.name {
		select {
		case <-b.release:
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		}
	}
	return []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, name[0]})}, 0, nil
}
