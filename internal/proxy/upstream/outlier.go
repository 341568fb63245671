package upstream

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/telemetry"
)

// Outcome is how a host did with one connection or request.
type Outcome uint8

// The outcomes. Dial tells those of connecting.
const (
	Answered       Outcome = iota // an answer below 500
	ServerError                   // an answer of 500 or more, or its gRPC equal
	GatewayError                  // 502, 503, 504
	Reset                         // the connection or stream broke before the answer was whole
	TimedOut                      // the request did
	ConnectFailed                 // also a failed TLS handshake
	ConnectTimeout                //
	Connected                     // a request follows
	ConnectedFinal                // and that was all there is to it: TCP
)

// StatusOutcome is the outcome of an answer by its HTTP status.
func StatusOutcome(status int) Outcome {
	switch {
	case status < 500:
		return Answered
	case status >= 502 && status <= 504:
		return GatewayError
	default:
		return ServerError
	}
}

// Result counts a request's outcome and tells outlier detection. It is to be called once a request that reached the host,
// and may eject the host.
func (h *Host) Result(o Outcome) {
	h.Stats.count(o)
	c := h.cluster
	cfg := c.Config()
	if cfg.Outlier == nil || cfg.Kind == config.OriginalDst {
		return
	}
	h.monitor().take(o, h, cfg.Outlier)
}

func (s *HostStats) count(o Outcome) {
	switch o {
	case Answered:
		s.RqSuccess.Add(1)
	case ServerError, GatewayError, Reset:
		s.RqError.Add(1)
	case TimedOut:
		s.RqTimeout.Add(1)
	default:
		return
	}
	s.RqTotal.Add(1)
}

// monitor is what outlier detection knows of a host.
type monitor struct {
	in5xx, inGateway, inLocal atomic.Uint32 // in a row
	external, local           tally         // of this interval

	rate, localRate atomic.Uint64 // of the last interval, in percent, as float64 bits + 1; 0: unknown

	// Under Cluster.mu.
	ejected, restored time.Time // last time
	times             uint32    // ejections lately: how many base ejection times the next one lasts
	jitter            time.Duration
}

// tally counts results of an interval.
type tally struct{ all, good atomic.Uint64 }

func (t *tally) add(good bool) {
	t.all.Add(1)
	if good {
		t.good.Add(1)
	}
}

func (h *Host) monitor() *monitor {
	if m := h.outlier.Load(); m != nil {
		return m
	}
	h.outlier.CompareAndSwap(nil, &monitor{})
	return h.outlier.Load()
}

// take sorts an outcome into what the host did wrong and what may be this side's or the network's fault. Only if those are
// to be split are they counted apart; else failing to connect counts as 503, a timeout as 504.
func (m *monitor) take(o Outcome, h *Host, cfg *config.Outlier) {
	switch {
	case o <= GatewayError:
		m.answer(o, h, cfg)
	case o == Connected && !cfg.SplitLocal:
	case o == ConnectedFinal && !cfg.SplitLocal:
		m.answer(Answered, h, cfg)
	case o >= Connected:
		reset(&m.inLocal)
		m.local.add(true)
	case cfg.SplitLocal:
		m.local.add(false)
		if m.inLocal.Add(1) == cfg.ConsecutiveLocal {
			m.inLocal.Store(0)
			h.cluster.suspect(h, byLocal)
		}
	default:
		m.answer(GatewayError, h, cfg)
	}
}

func (m *monitor) answer(o Outcome, h *Host, cfg *config.Outlier) {
	m.external.add(o == Answered)
	if o != GatewayError {
		reset(&m.inGateway)
	} else if m.inGateway.Add(1) == cfg.ConsecutiveGateway {
		m.inGateway.Store(0)
		h.cluster.suspect(h, byGateway)
	}
	if o == Answered {
		reset(&m.in5xx)
	} else if m.in5xx.Add(1) == cfg.Consecutive5xx {
		m.in5xx.Store(0)
		h.cluster.suspect(h, by5xx)
	}
}

// reset writes only if it must: usually it is 0 already, and many connections look at it.
func reset(n *atomic.Uint32) {
	if n.Load() != 0 {
		n.Store(0)
	}
}

// reason is why a host is suspected.
type reason uint8

const (
	by5xx reason = iota
	byGateway
	byLocal
	bySuccessRate
	byFailures
)

// stats returns the counters of a reason, and how often of 100 times it ejects.
func (r reason) stats(s *telemetry.OutlierStats, cfg *config.Outlier) (detected, enforced *telemetry.Counter, percent uint32) {
	switch r {
	case by5xx:
		return &s.Detected5xx, &s.Enforced5xx, cfg.Enforce5xx
	case byGateway:
		return &s.DetectedGateway, &s.EnforcedGateway, cfg.EnforceGateway
	case byLocal:
		return &s.DetectedLocal, &s.EnforcedLocal, cfg.EnforceLocal
	case bySuccessRate:
		return &s.DetectedSuccessRate, &s.EnforcedSuccessRate, cfg.EnforceSuccessRate
	default:
		return &s.DetectedFailurePercentage, &s.EnforcedFailurePercentage, cfg.EnforceFailure
	}
}

// suspect ejects a host, if the configuration enforces it and not too many are ejected already.
func (c *Cluster) suspect(h *Host, why reason) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.suspectLocked(h, why, c.Config().Outlier)
}

func (c *Cluster) suspectLocked(h *Host, why reason, cfg *config.Outlier) {
	if cfg == nil || h.gone.Load() || h.has(failedOutlier) {
		return
	}
	detected, enforced, often := why.stats(&c.Stats.Outlier, cfg)
	detected.Add(1)
	if !c.mayEject(cfg) {
		c.Stats.Outlier.Overflow.Add(1)
		return
	}
	if c.manager.opts.Random()%percent >= uint64(often) {
		return
	}
	enforced.Add(1)
	c.Stats.Outlier.EnforcedTotal.Add(1)
	c.eject(h, cfg)
}

// mayEject reports whether one more ejected host is within max_ejection_percent.
func (c *Cluster) mayEject(cfg *config.Outlier) bool {
	n := c.ejected()
	if n == 0 && cfg.AlwaysEjectOne {
		return true
	}
	return float64(n+1)*percent/float64(len(c.known)) <= float64(min(cfg.MaxEjectedPercent, percent))
}

// ejected counts; it is rarely asked, and a number kept up to date would have to follow every change of hosts.
func (c *Cluster) ejected() (n int) {
	for _, h := range c.known {
		if h.has(failedOutlier) {
			n++
		}
	}
	return n
}

func (c *Cluster) eject(h *Host, cfg *config.Outlier) {
	m := h.monitor()
	m.ejected = c.manager.opts.Now()
	m.jitter = 0
	if cfg.Jitter > 0 {
		m.jitter = time.Duration(c.manager.opts.Random() % uint64(cfg.Jitter))
	}
	if time.Duration(m.times)*cfg.BaseEjection < longest(cfg)+cfg.BaseEjection {
		m.times++
	}
	h.set(failedOutlier)
	c.closeUnhealthy(h)
	c.changes.Add(1)
	c.Stats.Outlier.EjectionsActive.Store(int64(c.ejected()))
}

// closeUnhealthy lets the next tick close a host's idle connections, if close_connections_on_host_health_failure is set.
func (c *Cluster) closeUnhealthy(h *Host) {
	if c.Config().LB.CloseOnUnhealthy && !h.gone.Load() {
		c.retired = append(c.retired, h)
	}
}

// longest is how long an ejection may last.
func longest(cfg *config.Outlier) time.Duration {
	if cfg.MaxEjection > 0 {
		return cfg.MaxEjection
	}
	return max(defaultMaxEjection, cfg.BaseEjection)
}

// Envoy's defaults.
const (
	defaultMaxEjection = 300 * time.Second
	defaultInterval    = 10 * time.Second
)

// restore lets an ejected host serve again. Counters start anew, so that one more error doesn't eject it at once.
func (c *Cluster) restore(h *Host, now time.Time) {
	m := h.monitor()
	m.in5xx.Store(0)
	m.inGateway.Store(0)
	m.inLocal.Store(0)
	m.restored = now
	h.unset(failedOutlier)
	c.changes.Add(1)
	c.Stats.Outlier.EjectionsActive.Store(int64(c.ejected()))
}

// rateOf is the success rate as stored; -1: unknown.
func rateOf(bits uint64) float64 {
	if bits == 0 {
		return -1
	}
	return math.Float64frombits(bits - 1)
}
