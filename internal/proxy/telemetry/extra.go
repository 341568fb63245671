package telemetry

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"
)

// mostExtras is how many counters with names of their own a cluster may have.
const mostExtras = 256

// extras are counters of a cluster whose names only the configuration knows. They go when the cluster does.
type extras struct {
	mu       sync.RWMutex
	counters map[string]*Counter
	unseen   Counter // of those there was no room for
}

// Extra returns the counter with that name below `cluster.NAME.` (ratelimit.ok), making it on first use. Beyond 256 of
// them they share one that isn't told. Names come from the configuration, never from traffic.
func (c *Cluster) Extra(name string) *Counter {
	e := &c.extras
	e.mu.RLock()
	found := e.counters[name]
	e.mu.RUnlock()
	if found != nil {
		return found
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if found = e.counters[name]; found != nil {
		return found
	}
	if len(e.counters) >= mostExtras {
		return &e.unseen
	}
	if e.counters == nil {
		e.counters = map[string]*Counter{}
	}
	found = new(Counter)
	e.counters[strings.Clone(name)] = found
	return found
}

// named are a cluster's statistics that have no place in the struct.
func (c *Cluster) named() (list []named) {
	prefix := clusterClass.prefix + c.Name + "."
	labels := pairsText(clusterClass.label, strings.TrimSuffix(c.Name, ";"))
	c.extras.mu.RLock()
	for _, name := range slices.SortedFunc(maps.Keys(c.extras.counters), cmp.Compare[string]) {
		list = append(list, named{
			name: prefix + name, value: int64(c.extras.counters[name].Load()), //nolint:gosec // as all counters are told
			family: clusterClass.family + sanitize(name), labels: labels,
		})
	}
	c.extras.mu.RUnlock()
	return c.calls.named(list, prefix, labels)
}

func (c *Cluster) resetNamed() {
	c.extras.mu.RLock()
	defer c.extras.mu.RUnlock()
	for _, each := range c.extras.counters {
		each.Store(0)
	}
	c.calls.reset()
}
