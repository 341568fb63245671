package probe

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	total   *prometheus.CounterVec
	seconds prometheus.Histogram
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		total: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "pillion_serving_probe_total",
			Help: "Probes of the way from an API server to the webhook; x509 means that it doesn't trust what we serve."}, []string{"result"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "pillion_serving_probe_seconds",
			Help: "How long such a probe took, there and back.", Buckets: []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}}),
	}
	for _, c := range []prometheus.Collector{m.total, m.seconds} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("registering metrics of the serving certificate's probe: %w", err)
		}
	}
	for _, result := range []string{ResultOK, ResultX509, ResultTimeout, ResultOther} {
		m.total.WithLabelValues(result)
	}
	return m, nil
}

func (m *metrics) observe(a Answer) {
	m.total.WithLabelValues(a.Result).Inc()
	m.seconds.Observe(a.Took.Seconds())
}
