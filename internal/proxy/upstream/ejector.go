package upstream

import (
	"math"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// ejector ends the intervals of outlier detection. It is under Cluster.mu.
type ejector struct{ ended time.Time }

// tickOutlier ends the interval if it is over: hosts whose time is up come back, hosts that did much worse than the others
// are ejected.
func (c *Cluster) tickOutlier(now time.Time) {
	cfg := c.Config()
	c.mu.Lock()
	defer c.mu.Unlock()
	if cfg.Outlier == nil || cfg.Kind == config.OriginalDst {
		c.restoreAll(now)
		return
	}
	interval := cfg.Outlier.Interval
	if interval <= 0 {
		interval = defaultInterval
	}
	if c.ejector.ended.IsZero() {
		c.ejector.ended = now
	}
	if now.Sub(c.ejector.ended) < interval {
		return
	}
	c.ejector.ended = now
	c.takeBack(now, interval, cfg.Outlier)
	c.compare(cfg.Outlier)
}

// restoreAll follows a change of the configuration: without detection nobody stays ejected.
func (c *Cluster) restoreAll(now time.Time) {
	if c.Stats.Outlier.EjectionsActive.Load() == 0 {
		return
	}
	for _, h := range c.known {
		if h.has(failedOutlier) {
			c.restore(h, now)
		}
	}
}

// takeBack lets hosts serve again whose ejection is over, and forgets an ejection of those that have been good since.
func (c *Cluster) takeBack(now time.Time, interval time.Duration, cfg *config.Outlier) {
	for _, h := range c.known {
		m := h.outlier.Load()
		switch {
		case m == nil:
		case h.has(failedOutlier):
			if now.Sub(m.ejected) >= min(time.Duration(m.times)*cfg.BaseEjection, longest(cfg))+m.jitter {
				c.restore(h, now)
			}
		case m.times > 0 && now.Sub(m.restored) >= interval:
			m.times--
		}
	}
	c.Stats.Outlier.EjectionsActive.Store(int64(c.ejected()))
}

// grade is a host's success rate in the interval that ended.
type grade struct {
	host *Host
	all  uint64
	rate float64 // percent
}

// compare looks at the interval's success rates: of what hosts answered, and apart from it of connecting, if those are
// split.
func (c *Cluster) compare(cfg *config.Outlier) {
	var external, local []grade
	for _, h := range c.known {
		m := h.outlier.Load()
		if m == nil {
			continue
		}
		external = m.external.grade(external, h, cfg.SuccessRateVolume, &m.rate)
		local = m.local.grade(local, h, cfg.SuccessRateVolume, &m.localRate)
	}
	for _, grades := range [][]grade{external, local} {
		c.belowMean(grades, cfg)
		c.aboveThreshold(grades, cfg)
	}
}

type stored interface{ Store(uint64) }

// grade ends the tally's interval; only hosts with enough requests have a rate of their own.
func (t *tally) grade(to []grade, h *Host, volume uint32, rate stored) []grade {
	all, good := t.all.Swap(0), t.good.Swap(0)
	if all == 0 {
		rate.Store(0)
		return to
	}
	g := grade{h, all, float64(min(good, all)) * percent / float64(all)}
	if all < uint64(volume) {
		rate.Store(0)
	} else {
		rate.Store(math.Float64bits(g.rate) + 1)
	}
	return append(to, g)
}

// belowMean ejects hosts whose rate is more than factor/1000 standard deviations below the mean, if enough hosts had
// enough requests to tell.
func (c *Cluster) belowMean(grades []grade, cfg *config.Outlier) {
	if cfg.EnforceSuccessRate == 0 {
		return
	}
	enough := withVolume(grades, cfg.SuccessRateVolume)
	if len(enough) == 0 || len(enough) < int(cfg.SuccessRateHosts) {
		return
	}
	mean, deviation := statistics(enough)
	for _, g := range enough {
		if g.rate < mean-deviation*float64(cfg.SuccessRateFactor)/1000 {
			c.suspectLocked(g.host, bySuccessRate, cfg)
		}
	}
}

// aboveThreshold ejects hosts that failed more often than the threshold says.
func (c *Cluster) aboveThreshold(grades []grade, cfg *config.Outlier) {
	if cfg.EnforceFailure == 0 {
		return
	}
	enough := withVolume(grades, cfg.FailureVolume)
	if len(enough) == 0 || len(enough) < int(cfg.FailureHosts) {
		return
	}
	for _, g := range enough {
		if percent-g.rate >= float64(cfg.FailureThreshold) {
			c.suspectLocked(g.host, byFailures, cfg)
		}
	}
}

func withVolume(grades []grade, volume uint32) (enough []grade) {
	for _, g := range grades {
		if g.all >= uint64(volume) {
			enough = append(enough, g)
		}
	}
	return enough
}

func statistics(grades []grade) (mean, deviation float64) {
	for _, g := range grades {
		mean += g.rate / float64(len(grades))
	}
	for _, g := range grades {
		deviation += (g.rate - mean) * (g.rate - mean) / float64(len(grades))
	}
	return mean, math.Sqrt(deviation)
}
