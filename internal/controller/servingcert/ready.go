package servingcert

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// patience is how long a live bundle may fail to verify our leaf before readiness goes: a wipe is repaired sooner, and
// must not empty the Service.
const patience = 30 * time.Second

// readiness remembers when the live bundles last verified. Its zero value is not ready.
type readiness struct {
	mu       sync.Mutex
	was      bool
	failedAt time.Time // zero: verifies
}

// judge turns the verification's present result into the answer.
func (r *readiness) judge(fault error, now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if fault == nil {
		r.was, r.failedAt = true, time.Time{}
		return nil
	}
	if r.failedAt.IsZero() {
		r.failedAt = now
	}
	if r.was && now.Sub(r.failedAt) < patience {
		return nil
	}
	r.was = false
	return fault
}

// Ready says whether API servers can call this replica: its leaf is valid now and for a while, and verifies against the
// live caBundle of every entry that exists. Entries that don't exist yet don't count, so that an installation that
// waits for readiness can't wait for ever.
func (c *Controller) Ready(ctx context.Context) error {
	served, now := c.leaf.Load(), c.Now()
	if served == nil {
		return errors.New("no serving certificate yet")
	}
	if !validAt(served.crt, now.Add(spare)) {
		return fmt.Errorf("serving certificate ends at %s", served.crt.NotAfter.Format(time.RFC3339))
	}
	return c.ready.judge(c.Trusted(ctx, ""), now)
}

// Trusted verifies the served leaf against the live entries of one configuration, or of all if configuration is "".
func (c *Controller) Trusted(ctx context.Context, configuration string) error {
	served, now := c.leaf.Load(), c.Now()
	if served == nil {
		return errors.New("no serving certificate yet")
	}
	entries, err := c.entries(ctx)
	if err != nil {
		return err
	}
	sync, fault := map[string]bool{}, error(nil)
	for _, e := range entries {
		if configuration != "" && e.configuration != configuration {
			continue
		}
		err := e.verify(served, now)
		in, seen := sync[e.configuration]
		sync[e.configuration] = err == nil && (in || !seen)
		fault = errors.Join(fault, err)
	}
	c.metrics.observeBundles(sync)
	return fault
}
