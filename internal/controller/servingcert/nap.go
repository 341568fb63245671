package servingcert

import (
	"context"
	"sync/atomic"
	"time"
)

// patienceAwake is how long a handshake waits for a look after this process was stopped.
const patienceAwake = 2 * time.Second

// nap is a time for which this process didn't run: it was stopped, its machine was suspended, or moved. What it serves
// may be trusted nowhere any more, and somebody else may lead.
type nap struct {
	tried atomic.Bool // a look has ended since, whatever it saw
}

// slept notices a nap, and returns the one that no look has succeeded since.
func (c *Controller) slept() *nap {
	now := c.Now()
	if last := c.pulse.Swap(&now); last != nil && age(now, last) > c.Times.Nap {
		c.nap.Store(&nap{})
		c.Wake()
	}
	return c.nap.Load()
}

// beat notices naps until ctx ends.
func (c *Controller) beat(ctx context.Context) {
	ticker := time.NewTicker(c.Times.Nap / 4)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			c.slept()
		}
	}
}

// seenSince ends a nap that was over when a look began, if that succeeded. Then there is a Bundle again.
func (c *Controller) seenSince(n *nap, succeeded bool) (ended bool) {
	if n == nil {
		return false
	}
	defer n.tried.Store(true)
	if !succeeded {
		return false
	}
	c.ready.forget()
	return c.nap.CompareAndSwap(n, nil)
}

// awake looks first if this process was stopped. Looks that fail count: where the API server can't be reached, handshakes
// don't wait for it.
func (c *Controller) awake() {
	n := c.slept()
	if n == nil || n.tried.Load() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patienceAwake)
	defer cancel()
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return
	}
	if c.nap.Load() != n || n.tried.Load() {
		return // somebody else has just looked
	}
	if err := c.step(ctx); err != nil {
		c.Log.Error(err, "looking at the serving certificate after a pause")
	}
}
