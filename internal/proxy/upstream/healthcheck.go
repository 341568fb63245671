package upstream

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// Defaults of health checks that say too little.
const (
	defaultCheckTimeout  = 5 * time.Second
	defaultCheckInterval = 5 * time.Second
	concurrentChecks     = 64 // of a cluster
)

// checker runs a cluster's active health checks: a goroutine for each host and check, which ends with the host. It is under
// Cluster.mu.
type checker struct {
	config *config.Cluster
	hosts  map[*Host]context.CancelFunc
	places chan struct{} // bounds the checks under way
}

// startChecks begins with the checks of cfg; hosts keep what former checks found. c.mu is held.
func (c *Cluster) startChecks(cfg *config.Cluster) {
	c.stopChecks()
	if len(cfg.Checks) == 0 || cfg.Kind == config.OriginalDst {
		c.clearChecked()
		return
	}
	c.checks = &checker{config: cfg, hosts: map[*Host]context.CancelFunc{}, places: make(chan struct{}, concurrentChecks)}
}

func (c *Cluster) stopChecks() {
	if c.checks == nil {
		return
	}
	for _, cancel := range c.checks.hosts {
		cancel()
	}
	c.checks = nil
}

// clearChecked forgets what checks found, when there are none any more.
func (c *Cluster) clearChecked() {
	for _, h := range c.known {
		if h.has(failedActive | pendingActive) {
			h.unset(failedActive | pendingActive | excluded)
			c.changes.Add(1)
		}
	}
}

// checkHosts lets every host of the set be checked, and no other. c.mu is held.
func (c *Cluster) checkHosts() {
	k := c.checks
	if k == nil || c.manager.ctx.Err() != nil {
		return
	}
	for h, cancel := range k.hosts {
		if h.gone.Load() {
			cancel()
			delete(k.hosts, h)
		}
	}
	for _, h := range c.known {
		if k.hosts[h] == nil {
			ctx, cancel := context.WithCancel(c.manager.ctx)
			k.hosts[h] = cancel
			for i := range k.config.Checks {
				c.manager.work.Go(func() { c.checkLoop(ctx, k, h, &k.config.Checks[i]) })
			}
		}
	}
}

func (c *Cluster) checkLoop(ctx context.Context, k *checker, h *Host, check *config.HealthCheck) {
	verdict := c.newVerdict(h, check)
	for {
		select {
		case <-ctx.Done():
			return
		case k.places <- struct{}{}:
		}
		err := c.check(ctx, h, check)
		<-k.places
		if ctx.Err() != nil {
			return
		}
		c.checked(h, verdict, err)
		if !pause(ctx, c.checkPause(check)) {
			return
		}
	}
}

func (c *Cluster) checkPause(check *config.HealthCheck) time.Duration {
	wait := cmp.Or(check.Interval, defaultCheckInterval)
	if check.Jitter > 0 {
		wait += time.Duration(c.manager.opts.Random() % uint64(check.Jitter))
	}
	return wait
}

// pause waits; false: ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// check probes once.
func (c *Cluster) check(ctx context.Context, h *Host, check *config.HealthCheck) error {
	c.Stats.Health.Attempt.Add(1)
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(check.Timeout, defaultCheckTimeout))
	defer cancel()
	conn, err := c.connect(ctx, h, checkDial(c.Config(), h, check))
	if err != nil {
		c.Stats.Health.NetworkFailure.Add(1)
		return err
	}
	defer conn.Conn.Close() // connect counts nothing, so Conn.Close would count too much
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	return probe(ctx, conn.Conn, check, c.Config(), h)
}

// checkDial asks for the HTTP version the check speaks, if there is TLS to agree on one, and for the host it names, if the
// cluster takes names for TLS from requests. A cluster's name, which HTTP says for want of another, is nobody's.
func checkDial(cfg *config.Cluster, h *Host, check *config.HealthCheck) *DialOptions {
	o := &DialOptions{}
	switch check.Kind {
	case config.CheckHTTP:
		o.ALPN = []string{"http/1.1"}
	case config.CheckGRPC:
		o.ALPN = []string{"h2"}
	default:
		return o
	}
	if name := cmp.Or(check.Host, h.Endpoint().Hostname); name != "" {
		o.SNI, o.Name = HostNames(cfg, name)
	}
	return o
}

// verdict counts results in a row and says when they change a host's health.
type verdict struct {
	check   *config.HealthCheck
	failing bool
	fresh   bool // not one result yet: the first one decides
	row     uint32
	heard   uint32 // of Host.admitted
}

func (c *Cluster) newVerdict(h *Host, check *config.HealthCheck) *verdict {
	c.mu.Lock()
	defer c.mu.Unlock()
	return &verdict{check: check, failing: h.has(failedActive), fresh: h.has(pendingActive), heard: h.admitted}
}

// hear takes what the host said meanwhile: that its checks fail.
func (v *verdict) hear(admitted uint32) {
	if v.heard != admitted {
		v.heard, v.failing, v.fresh, v.row = admitted, true, false, 0
	}
}

// take returns whether the host is failing now.
func (v *verdict) take(failed bool) bool {
	if v.fresh {
		v.fresh, v.failing, v.row = false, failed, 0
		return failed
	}
	if failed == v.failing {
		v.row = 0
		return v.failing
	}
	v.row++
	needed := v.check.Healthy
	if failed {
		needed = v.check.Unhealthy
	}
	if v.row >= max(needed, 1) {
		v.failing, v.row = failed, 0
	}
	return v.failing
}

// checked takes a result. A host that passes its check is no outlier any more.
func (c *Cluster) checked(h *Host, v *verdict, err error) {
	if err == nil {
		c.Stats.Health.Success.Add(1)
	} else {
		c.Stats.Health.Failure.Add(1)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	v.hear(h.admitted)
	failing := v.take(err != nil)
	before := h.flags.Load()
	h.unset(pendingActive)
	if failing {
		h.set(failedActive)
		if errors.Is(err, errAdmits) {
			h.set(excluded)
		}
		c.closeUnhealthy(h)
	} else {
		h.unset(failedActive | excluded)
		if err == nil && h.has(failedOutlier) {
			c.restore(h, c.manager.opts.Now())
		}
	}
	if now := h.flags.Load(); now != before {
		if before&failedActive != 0 && !failing {
			h.since = c.manager.opts.Now() // slow start begins again
		}
		c.changes.Add(1)
		c.renew()
	}
}
