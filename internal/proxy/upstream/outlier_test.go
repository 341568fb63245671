package upstream

import (
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/socket/sockettest"
)

// envoysOutlier has Envoy's defaults, but for what tests set.
func envoysOutlier() *config.Outlier {
	return &config.Outlier{
		Interval: 10 * time.Second, BaseEjection: 30 * time.Second, MaxEjection: 300 * time.Second, MaxEjectedPercent: 10,
		Consecutive5xx: 5, ConsecutiveGateway: 5, ConsecutiveLocal: 5, Enforce5xx: 100, EnforceLocal: 100,
		EnforceSuccessRate: 100, SuccessRateHosts: 5, SuccessRateVolume: 100, SuccessRateFactor: 1900,
		FailureThreshold: 85, FailureHosts: 5, FailureVolume: 50,
	}
}

func outlierCluster(f *fixture, hosts int, change func(*config.Outlier)) *Cluster {
	cfg := static("a", endpoints(hosts)...)
	cfg.Outlier = envoysOutlier()
	if change != nil {
		change(cfg.Outlier)
	}
	c := f.apply(cfg)
	c.current()
	return c
}

func results(h *Host, n int, o Outcome) {
	for range n {
		h.Result(o)
	}
}

func TestConsecutiveErrors(t *testing.T) {
	split := func(o *config.Outlier) { o.SplitLocal = true }
	gateway := func(o *config.Outlier) { o.EnforceGateway, o.Enforce5xx = 100, 0 }
	for name, c := range map[string]struct {
		change func(*config.Outlier)
		do     func(*Host)
		want   bool // ejected
	}{
		"five of 500":                  {nil, func(h *Host) { results(h, 5, ServerError) }, true},
		"four":                         {nil, func(h *Host) { results(h, 4, ServerError) }, false},
		"a good one between":           {nil, func(h *Host) { results(h, 4, ServerError); h.Result(Answered); results(h, 4, ServerError) }, false},
		"mixed, all 5xx":               {nil, func(h *Host) { results(h, 2, ServerError); results(h, 3, GatewayError) }, true},
		"gateway only":                 {gateway, func(h *Host) { results(h, 5, GatewayError) }, true},
		"gateway, a 500 between":       {gateway, func(h *Host) { results(h, 4, GatewayError); h.Result(ServerError); results(h, 4, GatewayError) }, false},
		"no connection":                {nil, func(h *Host) { results(h, 5, ConnectFailed) }, true},
		"timeouts":                     {nil, func(h *Host) { results(h, 3, TimedOut); results(h, 2, ConnectTimeout) }, true},
		"resets":                       {nil, func(h *Host) { results(h, 5, Reset) }, true},
		"connecting well is no answer": {nil, func(h *Host) { results(h, 4, ServerError); h.Result(Connected); h.Result(ServerError) }, true},
		"unless that is all":           {nil, func(h *Host) { results(h, 4, ServerError); h.Result(ConnectedFinal); h.Result(ServerError) }, false},
		"split: local ones":            {split, func(h *Host) { results(h, 5, ConnectFailed) }, true},
		"split: both kinds of four":    {split, func(h *Host) { results(h, 4, ConnectFailed); results(h, 4, ServerError) }, false},
		"split: connected between":     {split, func(h *Host) { results(h, 4, Reset); h.Result(Connected); results(h, 4, Reset) }, false},
		"split: an answer between":     {split, func(h *Host) { results(h, 4, Reset); h.Result(Answered); h.Result(Reset) }, true},
		"not enforced":                 {func(o *config.Outlier) { o.Enforce5xx = 0 }, func(h *Host) { results(h, 5, ServerError) }, false},
		"threshold 0 is off":           {func(o *config.Outlier) { o.Consecutive5xx = 0 }, func(h *Host) { results(h, 50, ServerError) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			cluster := outlierCluster(f, 10, c.change)
			h := hostAt(t, cluster, 3)
			c.do(h)
			if got := h.Status().FailedOutlier; got != c.want {
				t.Errorf("ejected: %v, want %v", got, c.want)
			}
			_, picked := picks(t, cluster, 200)[h.String()]
			if picked == c.want {
				t.Errorf("picked: %v", picked)
			}
		})
	}
}

// TestDetectedAgain: each five errors are detected anew, enforced or not.
func TestDetectedAgain(t *testing.T) {
	f := newFixture(t)
	c := outlierCluster(f, 10, func(o *config.Outlier) { o.Enforce5xx, o.SplitLocal, o.EnforceLocal = 0, true, 0 })
	h := hostAt(t, c, 0)
	results(h, 14, GatewayError)
	results(h, 14, Reset)
	s := &c.Stats.Outlier
	if s.Detected5xx.Load() != 2 || s.DetectedGateway.Load() != 2 || s.DetectedLocal.Load() != 2 || s.EnforcedTotal.Load() != 0 {
		t.Errorf("5xx %d, gateway %d, local %d, enforced %d", s.Detected5xx.Load(), s.DetectedGateway.Load(), s.DetectedLocal.Load(), s.EnforcedTotal.Load())
	}
}

func TestStatusOutcome(t *testing.T) {
	for status, want := range map[int]Outcome{200: Answered, 404: Answered, 499: Answered, 500: ServerError, 501: ServerError, 502: GatewayError, 503: GatewayError, 504: GatewayError, 505: ServerError} {
		if got := StatusOutcome(status); got != want {
			t.Errorf("%d: %d, want %d", status, got, want)
		}
	}
}

// TestMaxEjected: 10 % of ten hosts is one, of nine none, unless one always may be.
func TestMaxEjected(t *testing.T) {
	for _, c := range []struct {
		hosts   int
		percent uint32
		always  bool
		want    int
	}{{10, 10, false, 1}, {20, 10, false, 2}, {9, 10, false, 0}, {9, 10, true, 1}, {4, 50, false, 2}, {4, 200, false, 4}} {
		f := newFixture(t)
		cluster := outlierCluster(f, c.hosts, func(o *config.Outlier) { o.MaxEjectedPercent, o.AlwaysEjectOne = c.percent, c.always })
		for i := range c.hosts {
			results(hostAt(t, cluster, i), 5, ServerError)
		}
		if got := cluster.Stats.Outlier.EjectionsActive.Load(); int(got) != c.want {
			t.Errorf("%+v: %d are ejected", c, got)
		}
		if got := cluster.Stats.Outlier.Overflow.Load(); int(got) != c.hosts-c.want {
			t.Errorf("%+v: %d weren't and should have been", c, got)
		}
	}
}

// TestEjectionTimes: 30 s, then 60, 90 …, at most 300; good intervals make it shorter again.
func TestEjectionTimes(t *testing.T) {
	f := newFixture(t)
	c := outlierCluster(f, 10, nil)
	h := hostAt(t, c, 0)
	f.pass(time.Second) // intervals end at 10 s, 20 s … from here
	eject := func() (lasted time.Duration) {
		results(h, 5, ServerError)
		if !h.has(failedOutlier) {
			t.Fatal("not ejected")
		}
		for h.has(failedOutlier) {
			f.pass(10 * time.Second)
			lasted += 10 * time.Second
		}
		return lasted
	}
	for i := range 13 {
		if got, want := eject(), min(time.Duration(i+1)*30*time.Second, 300*time.Second); got != want {
			t.Errorf("ejection %d lasted %s, want %s", i+1, got, want)
		}
	}
	for range 11 {
		f.pass(10 * time.Second)
	}
	if got := eject(); got != 30*time.Second {
		t.Errorf("after good intervals an ejection lasts %s", got)
	}
	if got := c.Stats.Outlier.EnforcedTotal.Load(); got != 14 {
		t.Errorf("%d ejections were counted", got)
	}
}

// TestEjectionSurvivesUpdates of endpoints and of the cluster, and ends with outlier detection.
func TestEjectionSurvivesUpdates(t *testing.T) {
	f := newFixture(t)
	c := outlierCluster(f, 10, nil)
	results(hostAt(t, c, 0), 5, ServerError)
	c.Config().Endpoints.Store(&config.Endpoints{Localities: []config.Locality{{Hosts: endpoints(12)}}})
	if !hostAt(t, c, 0).has(failedOutlier) {
		t.Error("new endpoints ended the ejection")
	}
	next := *c.Config()
	next.TLS = &config.ClientTLS{SNI: "b"}
	f.apply(&next)
	if !hostAt(t, c, 0).has(failedOutlier) {
		t.Error("another transport socket ended the ejection")
	}
	without := next
	without.Outlier = nil
	f.apply(&without)
	f.pass(time.Second)
	if hostAt(t, c, 0).has(failedOutlier) || c.Stats.Outlier.EjectionsActive.Load() != 0 {
		t.Error("without outlier detection the host stays ejected")
	}
}

// TestCloseOnUnhealthy: an ejected host's idle connections are closed if that is configured, and it can have others later.
func TestCloseOnUnhealthy(t *testing.T) {
	l := echo(t, "tcp4", sockettest.Any())
	for _, want := range []bool{false, true} {
		f := newFixture(t)
		cfg := static("a", &config.Endpoint{Address: at(l)})
		cfg.Outlier = envoysOutlier()
		cfg.Outlier.AlwaysEjectOne = true
		cfg.LB.CloseOnUnhealthy = want
		c := f.apply(cfg)
		host := c.current().members[0].host
		idle := func() int {
			conn, err := c.Dial(t.Context(), host, DialOptions{})
			if err != nil {
				t.Fatal(err)
			}
			host.H1.Put(0, NewH1Conn(conn, ""), f.clock())
			return host.H1.Idle()
		}
		idle()
		results(host, 5, ServerError)
		f.pass(500 * time.Millisecond)
		if closed := host.H1.Idle() == 0; closed != want {
			t.Errorf("configured %v: closed %v", want, closed)
		}
		if idle() == 0 {
			t.Error("the pool is closed for ever")
		}
	}
}

// interval makes each host answer 100 times, so many of them badly, and ends the interval.
func interval(f *fixture, c *Cluster, t *testing.T, failures ...int) {
	f.pass(time.Second)
	for i, n := range failures {
		results(hostAt(t, c, i), n, ServerError)
		results(hostAt(t, c, i), 100-n, Answered)
	}
	f.pass(10 * time.Second)
}

func TestSuccessRate(t *testing.T) {
	f := newFixture(t)
	c := outlierCluster(f, 10, func(o *config.Outlier) { o.Consecutive5xx = 0 })
	interval(f, c, t, 0, 0, 0, 0, 0, 0, 0, 0, 0, 30)
	if !hostAt(t, c, 9).has(failedOutlier) || c.Stats.Outlier.EnforcedSuccessRate.Load() != 1 {
		t.Error("a host far below the others is still there")
	}
	s := c.Status()
	if s.Hosts[9].SuccessRate != 70 || s.Hosts[0].SuccessRate != 100 || s.SuccessRate != 97 || s.EjectionThreshold >= 97 || s.EjectionThreshold <= 70 {
		t.Errorf("rates: %v %v, mean %v, threshold %v", s.Hosts[9].SuccessRate, s.Hosts[0].SuccessRate, s.SuccessRate, s.EjectionThreshold)
	}
	f = newFixture(t)
	c = outlierCluster(f, 10, func(o *config.Outlier) { o.Consecutive5xx = 0 })
	interval(f, c, t, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30)
	if c.Stats.Outlier.DetectedSuccessRate.Load() != 0 {
		t.Error("hosts that are all alike are suspected")
	}
	interval(f, c, t, 0, 0, 0, 30)
	if c.Stats.Outlier.DetectedSuccessRate.Load() != 0 {
		t.Error("four hosts are enough to tell")
	}
}

func TestFailurePercentage(t *testing.T) {
	f := newFixture(t)
	c := outlierCluster(f, 10, func(o *config.Outlier) {
		o.Consecutive5xx, o.EnforceSuccessRate, o.EnforceFailure, o.FailureThreshold, o.MaxEjectedPercent = 0, 0, 100, 30, 100
	})
	interval(f, c, t, 0, 20, 30, 40, 0, 0, 0, 0, 0, 0)
	for i, want := range []bool{false, false, true, true, false} {
		if got := hostAt(t, c, i).has(failedOutlier); got != want {
			t.Errorf("host %d: ejected %v", i, got)
		}
	}
}

// TestResultCounts: what /clusters shows of requests.
func TestResultCounts(t *testing.T) {
	f := newFixture(t)
	c := f.apply(static("a", endpoints(1)...))
	h := hostAt(t, c, 0)
	for _, o := range []Outcome{Answered, Answered, ServerError, GatewayError, Reset, TimedOut, Connected, ConnectedFinal, ConnectFailed} {
		h.Result(o)
	}
	s := c.Status().Hosts[0]
	if s.RqTotal != 6 || s.RqSuccess != 2 || s.RqError != 3 || s.RqTimeout != 1 {
		t.Errorf("%+v", s)
	}
	if s.HealthFlags != "healthy" || s.SuccessRate != -1 {
		t.Errorf("%s, %v", s.HealthFlags, s.SuccessRate)
	}
}
