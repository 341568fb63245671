package degrade

import (
	"context"
	"time"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
)

// look is how often a replica that ends looks for another one.
const look = 500 * time.Millisecond

// Farewell is for a replica that was told to end, leader or not: if it is the last that was ready, it doesn't wait for
// degrade.after. Replicas that end together look ready to each other for a moment, so it goes on looking until ctx ends,
// which is as long as this replica still answers. Nor does it believe the first look: another one may become ready just
// now. It reads past the caches: they end first.
func (c *Controller) Farewell(ctx context.Context) {
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	for alone := 0; ; {
		others, err := c.ready(ctx, c.Live, c.PodName)
		if alone++; err != nil || others > 0 {
			alone = 0
		}
		if alone >= 2 {
			c.pardon()
			err = c.each(ctx, c.Live, func(inj *v1alpha1.Injector, _ bool) bool { return Applies(inj, c.Namespace, c.Service) })
			if err == nil {
				return
			}
		}
		if err != nil && ctx.Err() == nil {
			c.Log.Error(err, "looking for another replica before this one ends; will try again")
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// pardon has every write tried now: there is no later.
func (c *Controller) pardon() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.denied)
}
