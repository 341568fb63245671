package servingcert

import (
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pillion-mesh/pillion/internal/controller/servingcert/rotation"
)

type metrics struct {
	notAfter   *prometheus.GaugeVec
	rotations  *prometheus.CounterVec
	inSync     *prometheus.GaugeVec
	handshakes *prometheus.CounterVec
	phase      *prometheus.GaugeVec
	phaseTime  *prometheus.HistogramVec

	mu       sync.Mutex
	observed map[string]bool // configurations that inSync has
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		observed: map[string]bool{},
		notAfter: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "pillion_serving_cert_not_after_seconds",
			Help: "When the serving certificate (leaf), the CAs and the first of the bundle end, in Unix time."}, []string{"kind"}),
		rotations: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "pillion_serving_cert_rotations_total",
			Help: "Changes of the serving CA."}, []string{"result"}),
		inSync: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "pillion_cabundle_in_sync",
			Help: "Whether the live caBundle of every entry verifies this replica's certificate."}, []string{"configuration"}),
		handshakes: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "pillion_tls_handshake_errors_total",
			Help: "Failed TLS handshakes of the webhook server; bad_certificate means that an API server doesn't trust us."},
			[]string{"reason"}),
		phase: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "pillion_serving_cert_phase",
			Help: "1 for the phase that the rotation of the serving CA is in."}, []string{"phase"}),
		phaseTime: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "pillion_serving_cert_phase_seconds",
			Help: "How long phases of rotations took.", Buckets: []float64{1, 5, 15, 60, 120, 300, 1800, 3600, 7200, 86400, 172800}}, []string{"phase"}),
	}
	for _, c := range []prometheus.Collector{m.notAfter, m.rotations, m.inSync, m.handshakes, m.phase, m.phaseTime} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("registering serving certificate metrics: %w", err)
		}
	}
	for _, reason := range []string{handshakeBadCertificate, handshakeUnknownAuthority, handshakeEOF, handshakeOther} {
		m.handshakes.WithLabelValues(reason)
	}
	for _, result := range []string{"completed", "recovered", "forced", "failed"} {
		m.rotations.WithLabelValues(result)
	}
	return m, nil
}

// observeBundles sets what was found; if that is all there is, the series of configurations that are gone go too.
func (m *metrics) observeBundles(inSync map[string]bool, all bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for configuration, in := range inSync {
		value := 0.0
		if in {
			value = 1
		}
		m.inSync.WithLabelValues(configuration).Set(value)
		m.observed[configuration] = true
	}
	for configuration := range m.observed {
		if _, there := inSync[configuration]; all && !there {
			m.inSync.DeleteLabelValues(configuration)
			delete(m.observed, configuration)
		}
	}
}

// passed notes the end of a phase.
func (m *metrics) passed(before rotation.State, next rotation.Phase, now time.Time) {
	if before.Phase != "" && before.Phase != rotation.Steady && before.Phase != next {
		m.phaseTime.WithLabelValues(string(before.Phase)).Observe(max(0, now.Sub(before.Since).Seconds()))
	}
}

// measure sets the phase and the ends of all certificates in use.
func (c *Controller) measure() {
	served, s := c.leaf.Load(), c.remembered()
	for _, phase := range rotation.Phases() {
		value := 0.0
		if phase == s.Phase {
			value = 1
		}
		c.metrics.phase.WithLabelValues(string(phase)).Set(value)
	}
	ends := map[string]time.Time{"active": s.Active.NotAfter, "next": s.Next.NotAfter, "prev": s.Prev.NotAfter}
	if served != nil {
		ends["leaf"] = served.ends
	}
	for _, cert := range s.bundle(served, c.Now(), c.Times) {
		if least := ends["bundle_min"]; least.IsZero() || cert.NotAfter.Before(least) {
			ends["bundle_min"] = cert.NotAfter
		}
	}
	for _, kind := range []string{"leaf", "active", "next", "prev", "bundle_min"} {
		if end := ends[kind]; !end.IsZero() {
			c.metrics.notAfter.WithLabelValues(kind).Set(float64(end.Unix()))
		} else {
			c.metrics.notAfter.DeleteLabelValues(kind)
		}
	}
}
