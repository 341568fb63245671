package workload

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// result is what came of an eviction: all there are.
type result string

const (
	resultEvicted result = "evicted"
	resultDryRun  result = "dry_run" // would have been
	resultBlocked result = "blocked" // by a PodDisruptionBudget
	resultFailed  result = "failed"
)

type metrics struct {
	pods      *prometheus.GaugeVec
	evictions *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		pods: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "pillion_workload_pods",
			Help: "Running pods of an Injector: injected, of these stale, and missing, which should have a sidecar and haven't; the leader's view."}, []string{"injector", "state"}),
		evictions: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "pillion_workload_evictions_total",
			Help: "Pods evicted to come back with a sidecar: evicted, dry_run (only said), blocked by a PodDisruptionBudget, failed."}, []string{"result"}),
	}
	for _, result := range []result{resultEvicted, resultDryRun, resultBlocked, resultFailed} {
		m.evictions.WithLabelValues(string(result))
	}
	for _, c := range []prometheus.Collector{m.pods, m.evictions} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("registering workload metrics: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) count(injector string, c *counts) {
	for state, pods := range map[state]int32{stateInjected: c.injected, stateStale: c.stale, stateMissing: c.missing} {
		m.pods.WithLabelValues(injector, string(state)).Set(float64(pods))
	}
}

func (m *metrics) forget(injector string) {
	m.pods.DeletePartialMatch(prometheus.Labels{"injector": injector})
}
