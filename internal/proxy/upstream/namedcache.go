package upstream

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// maxRefreshing bounds how many names of a cache are looked up again at once.
const maxRefreshing = 32

// nameCache are addresses by what requests call hosts. Clusters whose caches have one name and the same settings share it;
// hosts, and their connections, are each cluster's own.
type nameCache struct {
	mu         sync.Mutex
	entries    map[nameAt]*entry
	waiting    uint32
	refreshing int
}

// nameAt is a name and a port.
type nameAt struct {
	name string
	port uint16
}

// entry is one name. Its addresses are under nameCache.mu.
type entry struct {
	at        nameAt
	done      chan struct{} // closed when the first look-up is over
	busy      bool          // a look-up is under way
	addresses []netip.Addr  // the last good answer
	err       error         // of the last look-up, if there was never a good one
	failures  uint32        // in a row
	used, due time.Time
}

func (e *entry) failure() error {
	if len(e.addresses) > 0 {
		return nil
	}
	return &ResolveError{e.at.name, e.err}
}

// enter finds the entry, or makes it and has it looked up. wait: there is no answer yet, left must follow.
func (c *Cluster) enter(n *nameCache, cache *config.DNSCache, at nameAt) (e *entry, wait bool, err error) {
	now := c.manager.opts.Now()
	n.mu.Lock()
	defer n.mu.Unlock()
	e = n.entries[at]
	if e != nil && !e.busy && len(e.addresses) == 0 && !now.Before(e.due) { // it failed some time ago
		delete(n.entries, at)
		e = nil
	}
	if e != nil {
		e.used = now
		if e.over() {
			return e, false, e.failure()
		}
	}
	if n.waiting >= cache.MaxPending {
		return nil, false, ErrManyWaiting
	}
	if e == nil {
		if uint64(len(n.entries)) >= uint64(cache.MaxHosts) {
			return nil, false, ErrManyHosts
		}
		e = &entry{at: at, done: make(chan struct{}), used: now}
		if n.entries == nil {
			n.entries = map[nameAt]*entry{}
		}
		n.entries[at] = e
		c.lookUp(n, cache, e)
	}
	n.waiting++
	return e, true, nil
}

func (n *nameCache) left() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.waiting--
}

// over reports whether the first look-up is.
func (e *entry) over() bool {
	select {
	case <-e.done:
		return true
	default:
		return false
	}
}

// lookUp begins a look-up. n.mu is held.
func (c *Cluster) lookUp(n *nameCache, cache *config.DNSCache, e *entry) {
	e.busy = true
	n.refreshing++
	c.manager.work.Go(func() {
		found, ttl, err := c.answer(cache, e.at.name)
		c.answered(n, cache, e, found, ttl, err)
	})
}

func (c *Cluster) answer(cache *config.DNSCache, name string) ([]netip.Addr, time.Duration, error) {
	if a, err := netip.ParseAddr(name); err == nil {
		return []netip.Addr{a.Unmap()}, 0, nil
	}
	limit := cache.QueryTimeout
	if limit == 0 {
		limit = lookupTimeout
	}
	ctx, cancel := context.WithTimeout(c.manager.ctx, limit)
	defer cancel()
	c.Stats.UpdateAttempt.Add(1)
	found, ttl, err := c.manager.opts.Resolver.Resolve(ctx, name, cache.DNS.V4, cache.DNS.V6)
	return families(found, &cache.DNS), ttl, err
}

// answered takes an answer. An address that was used before stays the first one, so that its connections do; without an
// answer the last good one stays.
func (c *Cluster) answered(n *nameCache, cache *config.DNSCache, e *entry, found []netip.Addr, ttl time.Duration, err error) {
	now := c.manager.opts.Now()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.refreshing--
	e.busy, e.err = false, err
	if len(found) > 0 && err == nil {
		c.Stats.UpdateSuccess.Add(1)
		if i := slices.IndexFunc(found, func(a netip.Addr) bool { return len(e.addresses) > 0 && a == e.addresses[0] }); i > 0 {
			found[0], found[i] = found[i], found[0]
		}
		e.addresses, e.failures = found, 0
		e.due = now.Add(cache.DNS.Refresh)
		if ttl > 0 {
			e.due = now.Add(max(ttl, cache.MinRefresh))
		}
	} else {
		c.Stats.UpdateFailure.Add(1)
		e.failures++
		e.due = now.Add(c.afterFailure(cache, e.failures))
	}
	if !e.over() {
		close(e.done)
	}
}

// afterFailure doubles with each failure, up to the maximum.
func (c *Cluster) afterFailure(cache *config.DNSCache, failures uint32) time.Duration {
	if cache.NoRetry {
		return 0
	}
	wait := cache.DNS.FailureBase << min(failures-1, 16)
	if wait <= 0 || wait > cache.DNS.FailureMax {
		wait = cache.DNS.FailureMax
	}
	return wait
}

// tickNamed looks up again what is due, and forgets hosts that weren't used and names that have no address.
func (c *Cluster) tickNamed(now time.Time) {
	cache, n := c.Config().Cache, c.named.Load()
	if cache == nil || n == nil {
		return
	}
	c.sweepNamed(n.tick(c, cache, now))
}

// tick returns the hosts there are now.
func (n *nameCache) tick(c *Cluster, cache *config.DNSCache, now time.Time) map[hostKey]bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	keep := map[hostKey]bool{}
	for at, e := range n.entries {
		switch {
		case e.busy:
		case len(e.addresses) == 0 && !now.Before(e.due), now.Sub(e.used) >= cache.HostTTL:
			delete(n.entries, at)
			continue
		case !now.Before(e.due) && n.refreshing < maxRefreshing:
			c.lookUp(n, cache, e)
		}
		if len(e.addresses) > 0 {
			keep[e.key()] = true
		}
	}
	return keep
}

// key is the host of the name's first address.
func (e *entry) key() hostKey {
	return hostKey{netip.AddrPortFrom(e.addresses[0], e.at.port), e.at.name}
}

// find returns the addresses of a name that was resolved, and its host's key.
func (n *nameCache) find(at nameAt, now time.Time) (hostKey, []netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	e := n.entries[at]
	if e == nil || len(e.addresses) == 0 {
		return hostKey{}, nil
	}
	e.used = now
	return e.key(), e.addresses
}
