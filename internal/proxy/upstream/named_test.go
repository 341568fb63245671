package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// book is a resolver that has addresses by name; names it doesn't have are errors. While held is locked nobody is answered.
type book struct {
	mu    sync.Mutex
	by    map[string]string
	ttl   time.Duration
	asked int
	held  chan struct{} // nil, or closed: answers come at once
}

func (b *book) set(name, addresses string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.by[name] = addresses
}

func (b *book) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.asked
}

// Resolve implements Resolver.
func (b *book) Resolve(ctx context.Context, name string, _, _ bool) (found []netip.Addr, ttl time.Duration, err error) {
	b.mu.Lock()
	b.asked++
	addresses, ok := b.by[name]
	b.mu.Unlock()
	if b.held != nil {
		select {
		case <-b.held:
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		}
	}
	if !ok {
		return nil, 0, errors.New("no such host")
	}
	for _, text := range strings.Fields(addresses) {
		found = append(found, netip.MustParseAddr(text))
	}
	return found, b.ttl, nil
}

func dynamic() *config.Cluster {
	limit := config.Breaker{Connections: 1024, Pending: 1024, Requests: 1024}
	return &config.Cluster{Name: "any", Kind: config.DynamicForward, ConnectTimeout: 20 * time.Second, Breakers: [2]config.Breaker{limit, limit}, LB: config.LB{Policy: config.LBClusterProvided}, Cache: &config.DNSCache{
		Name: "c", DNS: config.DNSOptions{V4: true, V6: true, All: true, Refresh: time.Minute, FailureBase: 2 * time.Second, FailureMax: 8 * time.Second},
		MinRefresh: 5 * time.Second, HostTTL: 5 * time.Minute, MaxHosts: 3, MaxPending: 2, QueryTimeout: 20 * time.Second,
	}}
}

// forwarding is a manager with one dynamic cluster, and its resolver.
func forwarding(t *testing.T, names map[string]string) (*fixture, *Cluster, *book) {
	t.Helper()
	f, b := newFixture(t), &book{by: names}
	f.opts.Resolver = b
	return f, f.apply(dynamic()), b
}

// settle waits until no look-up is under way.
func settle(t *testing.T, c *Cluster) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		c.named.Load().mu.Lock()
		n := c.named.Load().refreshing
		c.named.Load().mu.Unlock()
		if n == 0 {
			return
		}
	}
	t.Fatal("look-ups don't end")
}

func namedHost(t *testing.T, c *Cluster, name string) *Host {
	t.Helper()
	h, err := c.Pick(&Choice{Name: name}, &stream.Trace{})
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return h
}

// TestNamedHosts: the host is what was found for the request's name, and nothing before that.
func TestNamedHosts(t *testing.T) {
	_, c, b := forwarding(t, map[string]string{"a.test": "10.0.0.1 10.0.0.2", "b.test": "10.0.0.1"})
	if h, err := c.Pick(&Choice{Name: "a.test"}, nil); !errors.Is(err, ErrNoHost) {
		t.Errorf("before anybody asked: %v, %v", h, err)
	}
	for range 3 {
		if err := c.Resolve(context.Background(), "A.test:8080"); err != nil {
			t.Fatal(err)
		}
	}
	if n := b.count(); n != 1 {
		t.Errorf("asked %d times", n)
	}
	h := namedHost(t, c, "a.test:8080")
	if h.Address.String() != "10.0.0.1:8080" || h.Endpoint().Hostname != "a.test" || len(h.Endpoint().Additional) != 1 || h.Endpoint().Additional[0].String() != "10.0.0.2:8080" {
		t.Errorf("%s %+v", h, h.Endpoint())
	}
	if err := c.Resolve(context.Background(), "b.test:8080"); err != nil {
		t.Fatal(err)
	}
	if namedHost(t, c, "b.test:8080") == h {
		t.Error("two names share a host, and so its connections")
	}
	if _, err := c.Pick(&Choice{Name: "a.test"}, nil); !errors.Is(err, ErrNoHost) {
		t.Errorf("another port: %v", err)
	}
	if err := (c.manager.Resolve(context.Background(), "none", "x")); err != nil {
		t.Errorf("a cluster there isn't: %v", err)
	}
}

func TestDestination(t *testing.T) {
	tls := &config.Cluster{TLS: &config.ClientTLS{}}
	for authority, want := range map[string]string{
		"a": "a 80", "A.b:81": "a.b 81", "10.0.0.1": "10.0.0.1 80", "[fd00::1]": "fd00::1 80", "[FD00::1]:8": "fd00::1 8", "_x-1.y.": "_x-1.y. 80",
		"": "", ":80": "", "a:": "", "a:0": "", "a:65536": "", "a:b": "", "a b": "", "u@a": "", "a/b": "", "[a]": "", "[10.0.0.1]": "", "[fe80::1%eth0]": "",
		"fd00::1": "", "a\x00": "", "ä": "", strings.Repeat("a", 254): "", "[": "", "]:80": "", "[]:1": "",
	} {
		got := ""
		if at, ok := destination(&config.Cluster{}, authority); ok {
			got = at.name + " " + netip.AddrPortFrom(netip.IPv4Unspecified(), at.port).String()[len("0.0.0.0:"):]
		}
		if got != want {
			t.Errorf("%q: %q, want %q", authority, got, want)
		}
	}
	if at, _ := destination(tls, "a"); at.port != 443 {
		t.Errorf("TLS: %d", at.port)
	}
}

// TestNamedFailures: a name without an address is asked for again only when its time has come, or at once if so configured.
func TestNamedFailures(t *testing.T) {
	f, c, b := forwarding(t, map[string]string{"empty.test": ""})
	var failed *ResolveError
	for _, name := range []string{"none.test", "empty.test", "not a name"} {
		for range 2 {
			if err := c.Resolve(context.Background(), name); !errors.As(err, &failed) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if n := b.count(); n != 2 {
		t.Errorf("asked %d times", n)
	}
	b.set("none.test", "10.0.0.9")
	f.pass(3 * time.Second)
	if err := c.Resolve(context.Background(), "none.test"); err != nil || b.count() != 3 {
		t.Errorf("later: %v after %d", err, b.count())
	}
	cfg := dynamic()
	cfg.Cache.NoRetry = true
	f.apply(cfg)
	for range 2 {
		_ = c.Resolve(context.Background(), "other.test")
	}
	if n := b.count(); n != 5 {
		t.Errorf("without a pause asked %d times", n)
	}
}

// TestNamedBounds: so many hosts, so many that wait, and no more. Who gives up waits no more.
func TestNamedBounds(t *testing.T) {
	_, c, b := forwarding(t, map[string]string{"a.test": "10.0.0.1", "b.test": "10.0.0.2", "c.test": "10.0.0.3"})
	b.held = make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	results := make(chan error, 2)
	for _, name := range []string{"a.test", "a.test"} {
		go func() { results <- c.Resolve(ctx, name) }()
	}
	for waiting := uint32(0); waiting < 2; time.Sleep(time.Millisecond) {
		c.named.Load().mu.Lock()
		waiting = c.named.Load().waiting
		c.named.Load().mu.Unlock()
	}
	if err := c.Resolve(ctx, "b.test"); !errors.Is(err, ErrManyWaiting) {
		t.Errorf("a third one waits: %v", err)
	}
	cancel()
	for range 2 {
		if err := <-results; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	close(b.held)
	for _, name := range []string{"a.test", "b.test", "c.test"} {
		if err := c.Resolve(context.Background(), name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := c.Resolve(context.Background(), "d.test"); !errors.Is(err, ErrManyHosts) {
		t.Errorf("a fourth host: %v", err)
	}
}

// TestNamedRefresh: names are looked up again when their time has come; the address in use stays as long as it is in the
// answer, and while answers fail. Hosts nobody uses are forgotten.
func TestNamedRefresh(t *testing.T) {
	f, c, b := forwarding(t, map[string]string{"a.test": "10.0.0.1"})
	b.ttl = 30 * time.Second
	if err := c.Resolve(context.Background(), "a.test"); err != nil {
		t.Fatal(err)
	}
	first := namedHost(t, c, "a.test")
	step := func(answer string, d time.Duration) *Host {
		if answer == "" {
			b.mu.Lock()
			delete(b.by, "a.test")
			b.mu.Unlock()
		} else {
			b.set("a.test", answer)
		}
		f.pass(d)
		settle(t, c)
		return namedHost(t, c, "a.test")
	}
	if h := step("10.0.0.7", 29*time.Second); h != first {
		t.Errorf("before its time: %s", h)
	}
	if h := step("10.0.0.7 10.0.0.1", 2*time.Second); h != first || len(h.Endpoint().Additional) != 1 {
		t.Errorf("with one more address: %s", h)
	}
	if h := step("", 31*time.Second); h != first {
		t.Errorf("without an answer: %s", h)
	}
	second := step("10.0.0.8", 10*time.Second)
	if second.Address.String() != "10.0.0.8:80" {
		t.Errorf("another address: %s", second)
	}
	f.pass(time.Second)
	if !first.Gone() || second.Gone() {
		t.Errorf("the old host is gone %t, the new one %t", first.Gone(), second.Gone())
	}
	b.ttl = time.Hour
	settle(t, c)
	f.pass(6 * time.Minute)
	settle(t, c)
	f.pass(time.Second)
	if _, err := c.Pick(&Choice{Name: "a.test"}, nil); !errors.Is(err, ErrNoHost) || !second.Gone() {
		t.Errorf("unused: %v, gone %t", err, second.Gone())
	}
}

// TestNamedSelfDial: no name leads to the sidecar's own ports.
func TestNamedSelfDial(t *testing.T) {
	_, c, _ := forwarding(t, map[string]string{"evil.test": "127.0.0.1 0.0.0.0", "also.test": "10.9.9.9 127.0.0.1"})
	for _, name := range []string{"evil.test:15000", "127.0.0.1:15000", "[::ffff:127.0.0.1]:15000"} {
		if err := c.Resolve(context.Background(), name); err != nil {
			t.Fatal(err)
		}
		if conn, err := c.Dial(context.Background(), namedHost(t, c, name), DialOptions{}); !errors.Is(err, ErrSelfDial) {
			t.Errorf("%s: %v, %v", name, conn, err)
		}
	}
}

// TestSharedNames: clusters whose caches are the same ask once for a name; hosts are each one's own. Other settings are
// another cache, and one that nobody uses any more is forgotten.
func TestSharedNames(t *testing.T) {
	f, first, b := forwarding(t, map[string]string{"a.test": "10.0.0.1"})
	second, other := dynamic(), dynamic()
	second.Name, other.Name, other.Cache.MaxHosts = "second", "other", 2
	f.Apply(config.NewRuntime(nil, []*config.Cluster{first.Config(), second, other}))
	for name, asked := range map[string]int{"any": 1, "second": 1} {
		if err := f.Cluster(name).Resolve(context.Background(), "a.test"); err != nil || b.count() != asked {
			t.Errorf("%s: %v, asked %d times", name, err, b.count())
		}
	}
	if namedHost(t, first, "a.test") == namedHost(t, f.Cluster("second"), "a.test") {
		t.Error("two clusters share a host, and so its connections")
	}
	if _, err := f.Cluster("other").Pick(&Choice{Name: "a.test"}, nil); !errors.Is(err, ErrNoHost) {
		t.Errorf("a cache with other settings: %v", err)
	}
	f.Apply(config.NewRuntime(nil, []*config.Cluster{second}))
	namedHost(t, f.Cluster("second"), "a.test")
	if err := first.Resolve(context.Background(), "a.test"); err != nil {
		t.Errorf("of a removed cluster: %v", err)
	}
	f.Apply(config.NewRuntime(nil, []*config.Cluster{}))
	f.Apply(config.NewRuntime(nil, []*config.Cluster{dynamic()}))
	if _, err := f.Cluster("any").Pick(&Choice{Name: "a.test"}, nil); !errors.Is(err, ErrNoHost) || len(f.caches) != 1 {
		t.Errorf("of a new cache: %v, there are %d", err, len(f.caches))
	}
}

// FuzzDestination: what a request names is a lower-case name or an address without brackets, with a port; it is taken apart in
// the same way again, and is nothing that a resolver, a log or TLS would take for something else.
func FuzzDestination(f *testing.F) {
	for _, seed := range []string{"a.test", "A.test:8080", "[::1]:80", "[::1]", "::1", "10.0.0.1", "10.0.0.1:0", "a:65536", "a:", "[fe80::1%eth0]:1", "[::ffff:127.0.0.1]", "a b", "a/b", "user@a", "", ":", "a:1:2", "[a]:1", "]:1"} {
		f.Add(seed)
	}
	cfg := dynamic()
	f.Fuzz(func(t *testing.T, authority string) {
		at, ok := destination(cfg, authority)
		if !ok {
			return
		}
		if at.port == 0 || at.name == "" || at.name != strings.ToLower(at.name) || len(at.name) > 253 {
			t.Fatalf("%q is %+v", authority, at)
		}
		host := at.name
		if a, err := netip.ParseAddr(host); err == nil && a.Is6() {
			if a.Zone() != "" {
				t.Fatalf("%q has a zone", authority)
			}
			host = "[" + host + "]"
		} else if strings.Trim(host, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "" {
			t.Fatalf("%q is %+v", authority, at)
		}
		if again, ok := destination(cfg, fmt.Sprintf("%s:%d", host, at.port)); !ok || again != at {
			t.Fatalf("%q is %+v, and that %+v", authority, at, again)
		}
		if !strings.EqualFold(strings.Trim(hostOf(authority), "[]"), at.name) {
			t.Fatalf("%q is %q here, %q for TLS", authority, at.name, hostOf(authority))
		}
	})
}
