package servingcert

import (
	"crypto/x509"
	"fmt"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	notAfter   *prometheus.GaugeVec
	rotations  *prometheus.CounterVec
	inSync     *prometheus.GaugeVec
	handshakes *prometheus.CounterVec

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
	}
	for _, c := range []prometheus.Collector{m.notAfter, m.rotations, m.inSync, m.handshakes} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("registering serving certificate metrics: %w", err)
		}
	}
	for _, reason := range []string{handshakeBadCertificate, handshakeUnknownAuthority, handshakeEOF, handshakeOther} {
		m.handshakes.WithLabelValues(reason)
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

// measure sets the ends of all certificates in use.
func (c *Controller) measure() {
	served := c.leaf.Load()
	c.mu.Lock()
	s := c.stored
	c.mu.Unlock()
	ends := map[string]*x509.Certificate{"prev": s.Prev}
	if served != nil {
		ends["leaf"] = served.crt
	}
	if s.Active != nil {
		ends["active"] = s.Active.Cert
	}
	if s.Next != nil {
		ends["next"] = s.Next.Cert
	}
	for _, cert := range s.certificates(served) {
		if least := ends["bundle_min"]; least == nil || cert.NotAfter.Before(least.NotAfter) {
			ends["bundle_min"] = cert
		}
	}
	for _, kind := range []string{"leaf", "active", "next", "prev", "bundle_min"} {
		if cert := ends[kind]; cert != nil {
			c.metrics.notAfter.WithLabelValues(kind).Set(float64(cert.NotAfter.Unix()))
		} else {
			c.metrics.notAfter.DeleteLabelValues(kind)
		}
	}
}
