package webhook

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pillion-mesh/pillion/internal/inject"
)

// Metrics of the handler: our own, with labels, and Istio's names with true counts, so that dashboards go on working.
type Metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	warnings *prometheus.CounterVec

	istioRequests, istioSuccess, istioFailure, istioSkip prometheus.Counter
	istioTime                                            prometheus.Histogram
}

// durationBuckets are in seconds: 50 µs to 1 s.
var durationBuckets = []float64{50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 500e-3, 1}

// NewMetrics makes the metrics and registers them. A nil registerer leaves them unregistered.
func NewMetrics(r prometheus.Registerer) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pillion_injection_requests_total", Help: "Admission requests by injector, decision and reason.",
		}, []string{"injector", "decision", "reason"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "pillion_injection_duration_seconds", Help: "Time from an admission request to its answer.", Buckets: durationBuckets,
		}, []string{"decision"}),
		warnings: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pillion_injection_warnings_total", Help: "Warnings given with admission answers: that a pod that asked is skipped, or of what its annotations say.",
		}, []string{"kind"}),
		istioRequests: counter("sidecar_injection_requests_total", "Admission requests (Istio's name)."),
		istioSuccess:  counter("sidecar_injection_success_total", "Pods injected (Istio's name)."),
		istioFailure:  counter("sidecar_injection_failure_total", "Requests denied or failed (Istio's name)."),
		istioSkip:     counter("sidecar_injection_skip_total", "Pods not injected (Istio's name)."),
		istioTime: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "sidecar_injection_time_seconds", Help: "Time of an admission request (Istio's name).", Buckets: durationBuckets,
		}),
	}
	if r != nil {
		r.MustRegister(m.requests, m.duration, m.warnings, m.istioRequests, m.istioSuccess, m.istioFailure, m.istioSkip, m.istioTime)
	}
	return m
}

func (m *Metrics) observe(d *inject.Decision, warnings int, took time.Duration) {
	if m == nil {
		return
	}
	m.requests.WithLabelValues(injectorLabel(d), string(d.Outcome), string(d.Reason())).Inc()
	m.duration.WithLabelValues(string(d.Outcome)).Observe(took.Seconds())
	if warnings > len(d.Warnings) {
		m.warnings.WithLabelValues("skipped").Inc()
	}
	if len(d.Warnings) > 0 {
		m.warnings.WithLabelValues("pod").Add(float64(len(d.Warnings)))
	}
	m.istioRequests.Inc()
	m.istioTime.Observe(took.Seconds())
	switch d.Outcome {
	case inject.OutcomeInject:
		m.istioSuccess.Inc()
	case inject.OutcomeSkip:
		m.istioSkip.Inc()
	default:
		m.istioFailure.Inc()
	}
}

// injectorLabel is empty for names that come from a path and belong to no Injector: a caller can't make series.
func injectorLabel(d *inject.Decision) string {
	if d.Hash == "" {
		return ""
	}
	return d.Injector
}
