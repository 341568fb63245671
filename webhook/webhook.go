// Package webhook is the HTTP edge of admission: an AdmissionReview comes in, one goes out. It decides nothing; that is
// package inject's. Read handler.go first.
package webhook

import (
	"context"
	"net/http"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/pillion-mesh/pillion/internal/inject"
)

// NamespaceSource finds a namespace's labels and annotations, from a cache if it can.
type NamespaceSource interface {
	Namespace(ctx context.Context, name string) (inject.Namespace, error)
}

// EventSink records Events. Event must not block: it queues, and drops when the queue is full.
type EventSink interface {
	Event(Event)
}

// Event is one Kubernetes Event on the workload of a pod, or on the pod's namespace if it has no owner.
type Event struct {
	Namespace string
	Owner     inject.Owner
	Injector  string
	Type      string // Normal or Warning
	Reason    string // SidecarDenied, SidecarSkipped, SidecarWarning
	Message   string
}

// Options are what a handler needs.
type Options struct {
	Set        func() *inject.Set // the set in use; nil or a nil result answers "not ready"
	Namespaces NamespaceSource
	Native     func(nodeName string) bool // whether that node, or every node for "", can run native sidecars
	Events     EventSink
	Log        logr.Logger
	Metrics    *Metrics
	Timeout    time.Duration // used where the request names none; default 10 s
}

// Metrics of the handler.
type Metrics struct{}

// NewMetrics registers the metrics.
func NewMetrics(r prometheus.Registerer) *Metrics { return &Metrics{} }

// New returns the handler for POST /inject[/<key>/<value>]….
func New(o Options) http.Handler { return http.NotFoundHandler() }
