package servingcert

import (
	"context"
	"errors"
	"fmt"
	"slices"
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

// judge turns the verification's present result into the answer. Early is why this replica shouldn't become ready yet;
// it doesn't cost the readiness of one that is.
func (r *readiness) judge(early, fault error, now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case fault == nil && !r.was && early != nil:
		return early
	case fault == nil:
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

// forget makes it gain its readiness anew.
func (r *readiness) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.was = false
}

// Ready says whether API servers can call this replica: its leaf is valid now and for a while, and verifies against the
// live caBundle of some entry, if there is one that an Injector claims. One that doesn't verify it says nothing of this
// replica: we may not be allowed to write it, and who isn't ready repairs nothing. CertificatesReady and the metric
// tell of each. Entries that don't exist yet don't count, so that an installation that waits for readiness can't wait
// for ever. Who can't reach the API server stays ready: all replicas would be unready just when it is back.
func (c *Controller) Ready(ctx context.Context) error {
	served, now := c.leaf.Load(), c.Now()
	if served == nil {
		return errors.New("no serving certificate yet")
	}
	if !served.validAt(now.Add(c.Times.Spare)) {
		return fmt.Errorf("serving certificate ends at %s", served.ends.Format(time.RFC3339))
	}
	if c.slept() != nil {
		return errors.New("this process was stopped, and has yet to look at its serving CA and the webhook configurations again")
	}
	return c.ready.judge(c.established(served), c.reachable(ctx, served, now), now)
}

// established says that API servers have had time to learn of the leaf's CA. Who starts in the middle of a rotation to a
// CA of somebody else's has no leaf of the active one, and leaves the calls to those who have.
func (c *Controller) established(served *leaf) error {
	if c.remembered().Active.ID != served.id && c.settled.Load() < int64(c.Times.ProbeOffSettle) {
		return fmt.Errorf("serving certificate of CA %s: API servers are still learning to trust it", served.id)
	}
	return nil
}

// reachable says that no entry that counts verifies the leaf.
func (c *Controller) reachable(ctx context.Context, served *leaf, now time.Time) error {
	entries, err := c.entries(ctx, c.Client)
	if err != nil {
		return err
	}
	c.metrics.observeBundles(inSync(entries, served, now), true)
	var faults []error
	for _, e := range entries {
		if !c.Claimed(e.configuration) {
			continue
		}
		err := e.verify(served, now)
		if err == nil {
			return nil
		}
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

// Trusted verifies the served leaf against the live entries of one configuration.
func (c *Controller) Trusted(ctx context.Context, configuration string) error {
	served, now := c.leaf.Load(), c.Now()
	if served == nil {
		return errors.New("no serving certificate yet")
	}
	entries, err := c.entries(ctx, c.Client)
	if err != nil {
		return err
	}
	entries = slices.DeleteFunc(entries, func(e entry) bool { return e.configuration != configuration })
	c.metrics.observeBundles(inSync(entries, served, now), false)
	var faults []error
	for _, e := range entries {
		faults = append(faults, e.verify(served, now))
	}
	return errors.Join(faults...)
}

// inSync says of each configuration whether all its entries verify the leaf.
func inSync(entries []entry, served *leaf, now time.Time) map[string]bool {
	sync := map[string]bool{}
	for _, e := range entries {
		in, seen := sync[e.configuration]
		sync[e.configuration] = e.verify(served, now) == nil && (in || !seen)
	}
	return sync
}
