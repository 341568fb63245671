package injector

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	repairs *prometheus.CounterVec
	inSync  *prometheus.GaugeVec
	ready   *prometheus.GaugeVec
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		repairs: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "pillion_webhook_repairs_total",
			Help: "Fields of our webhook configurations put back after somebody changed them."}, []string{"configuration", "field"}),
		inSync: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "pillion_webhook_in_sync",
			Help: "Whether the API server holds the webhook configuration as rendered; the leader's view."}, []string{"configuration"}),
		ready: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "pillion_injector_templates_ready",
			Help: "Whether the present version of the Injector compiled."}, []string{"injector"}),
	}
	for _, c := range []prometheus.Collector{m.repairs, m.inSync, m.ready} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("registering injector metrics: %w", err)
		}
	}
	return m, nil
}
