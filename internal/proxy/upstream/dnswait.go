package upstream

import (
	"cmp"
	"time"
)

// wait is the time until the next round: by TTL if that is asked for, else the refresh rate; after a failure a random time
// that doubles with each further one.
func (n *names) wait(failed bool, ttl time.Duration) time.Duration {
	o := &n.cluster.DNS
	if failed {
		n.failures++
		return n.backOff()
	}
	n.failures = 0
	wait := n.refresh()
	if o.RespectTTL && ttl > 0 {
		wait = max(ttl, shortestWait)
	}
	if o.Jitter > 0 {
		wait += time.Duration(n.random() % uint64(o.Jitter))
	}
	return wait
}

func (n *names) refresh() time.Duration { return cmp.Or(n.cluster.DNS.Refresh, defaultRefresh) }

// backOff is between half and all of base × 2^(failures-1), at most the maximum.
func (n *names) backOff() time.Duration {
	o := &n.cluster.DNS
	base := cmp.Or(o.FailureBase, n.refresh())
	wait := base << min(n.failures-1, 16)
	if most := cmp.Or(o.FailureMax, 10*base); wait > most || wait <= 0 {
		wait = most
	}
	return wait/2 + time.Duration(n.random()%uint64(wait/2+1))
}
