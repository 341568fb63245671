package upstream

import (
	"runtime"
	"sync"
	"weak"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// earlyAnswers is what was looked up for clusters that may be applied soon. It doesn't keep their configuration alive: one that
// never comes is forgotten.
type earlyAnswers struct {
	mu   sync.Mutex
	runs map[weak.Pointer[config.Cluster]]*lookedUp
}

// lookedUp is the first round of a cluster's look-ups.
type lookedUp struct {
	over    chan struct{}
	answers *answers
}

// Warm looks the names of a cluster up that isn't applied yet. The channel is closed when that is over, whether they were
// found or not; Apply then begins with what was found. It is nil if there is nothing to wait for: the cluster has no
// names, or they are all known from the configuration it replaces.
func (m *Manager) Warm(cfg *config.Cluster) <-chan struct{} {
	if !hasNames(cfg) {
		return nil
	}
	if old := m.Cluster(cfg.Name); old != nil && old.knows(namesOf(cfg.Endpoints.Load())) {
		return nil
	}
	run := &lookedUp{over: make(chan struct{})}
	n := newNames(cfg, m.opts.Resolver, m.opts.Random)
	run.answers = n.answers
	m.early.put(cfg, run)
	m.work.Go(func() {
		defer close(run.over)
		n.round(m.ctx)
	})
	return run.over
}

// hasNames reports whether a cluster's hosts are to be looked up, and are known.
func hasNames(cfg *config.Cluster) bool {
	return (cfg.Kind == config.StrictDNS || cfg.Kind == config.LogicalDNS) && cfg.Endpoints != nil && cfg.Endpoints.Load() != nil
}

// knows reports whether all of these names have been found.
func (c *Cluster) knows(names []string) bool {
	n := c.dns.Load()
	return n != nil && n.answers.have(names)
}

func (w *earlyAnswers) put(cfg *config.Cluster, run *lookedUp) {
	key := weak.Make(cfg)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.runs == nil {
		w.runs = map[weak.Pointer[config.Cluster]]*lookedUp{}
	}
	w.runs[key] = run
	runtime.AddCleanup(cfg, w.forget, key)
}

// take returns the answers there are for a cluster that is applied now; nil: none were asked for.
func (w *earlyAnswers) take(cfg *config.Cluster) *answers {
	w.mu.Lock()
	defer w.mu.Unlock()
	key := weak.Make(cfg)
	run := w.runs[key]
	delete(w.runs, key)
	if run == nil {
		return nil
	}
	select {
	case <-run.over:
		return run.answers
	default:
		return nil
	}
}

func (w *earlyAnswers) forget(key weak.Pointer[config.Cluster]) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.runs, key)
}
