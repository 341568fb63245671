// Package webhook is the HTTP edge of admission: an AdmissionReview comes in, one goes out. It decides nothing; that is
// package inject's. Read handler.go first; body.go reads requests within a bound on memory; review.go reads and writes
// AdmissionReviews, report.go says what happened in warnings, audit annotations, events, the log and metrics. What is
// below it, connections and HTTP itself, is package front's and net/http's.
package webhook

import (
	"context"
	"net/http"
	"time"

	"github.com/go-logr/logr"

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

// Event is one Kubernetes Event on the object a pod belongs to: the ReplicaSet, Job or whatever else it names itself.
type Event struct {
	Namespace string
	Owner     inject.Owner // of kind Pod if the pod names no owner; its name may only be a prefix
	Injector  string
	Type      string // Normal or Warning
	Reason    string // one of the Event constants
	Message   string
}

// Reasons of Events.
const (
	EventDenied  = "SidecarDenied"
	EventSkipped = "SidecarSkipped" // only of pods that asked
	EventWarning = "SidecarWarning"
)

// Options are what a handler needs.
type Options struct {
	Set        func() *inject.Set // the set in use; nil until there is one
	Namespaces NamespaceSource
	Native     func(nodeName string) bool // whether that node, or every node for "", can run native sidecars; nil: no
	Events     EventSink                  // nil: none are recorded
	Log        logr.Logger
	Metrics    *Metrics
	Timeout    time.Duration // of requests that name none; default 10 s, as the API server's
}

// New returns the handler for POST /inject[/<key>/<value>]….
func New(o Options) http.Handler {
	if o.Timeout <= 0 {
		o.Timeout = 10 * time.Second
	}
	return &handler{Options: o, budget: newBudget(maxBlocks), memory: newMemory()}
}
