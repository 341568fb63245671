package upstream

import "errors"

// FailNow is the answer's field by which a host says that its health checks fail from now on.
const FailNow = "x-envoy-immediate-health-check-fail"

// errAdmits is a failed check whose answer has FailNow.
var errAdmits = errors.New("the host says " + FailNow)

// Checked reports whether the cluster has active health checks.
func (c *Cluster) Checked() bool { return len(c.Config().Checks) > 0 }

// FailNow is told of an answer with that field. If there are active health checks, the host has failed them, until they
// find it well again; meanwhile it doesn't count where shares of the healthy are computed.
func (h *Host) FailNow() {
	c := h.cluster
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.checks == nil || h.gone.Load() {
		return
	}
	c.Stats.Health.Failure.Add(1)
	c.Stats.Health.PassiveFailure.Add(1)
	h.admitted++
	before := h.flags.Load()
	h.set(failedActive | excluded)
	h.unset(pendingActive)
	if h.flags.Load() == before {
		return
	}
	c.closeUnhealthy(h)
	c.changes.Add(1)
	c.renew()
}
