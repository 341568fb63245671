// Package events writes Kubernetes Events without ever holding up who reports them: a bounded queue in front, one
// writer behind, and nothing said twice about the same object and reason within ten minutes unless asked to.
//
// In come Event values from any goroutine; out go core/v1 Events. The writer outlives the manager's shutdown, so the
// last admissions of a replica that ends are still told. Read this file; there is no other.
package events

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

const (
	queueSize    = 256
	quiet        = 10 * time.Minute
	writeTimeout = 5 * time.Second
	maxMessage   = 1024 // of core/v1 Event
	maxKnown     = 4096 // objects and reasons remembered
)

// LastWords is how long Run goes on writing after its context ended.
const LastWords = 3 * time.Second

// Why Events were lost: label "reason" of the metric.
const (
	lostQueue  = "queue_full"
	lostWrite  = "write_failed"
	lostEnding = "ending"
)

// Event is one thing to tell about one object.
type Event struct {
	Object  corev1.ObjectReference
	Type    string // Normal or Warning
	Reason  string
	Message string
	Always  bool // not even kept back if the same reason was told a moment ago
}

// Recorder queues Events and writes them while Run runs.
type Recorder struct {
	client   kubernetes.Interface
	instance string // the replica
	log      logr.Logger
	now      func() time.Time
	queue    chan Event
	last     time.Duration // LastWords
	lost     *prometheus.CounterVec

	mu   sync.Mutex
	told map[string]time.Time
}

// New returns a Recorder that writes as instance, a pod's name.
func New(client kubernetes.Interface, instance string, log logr.Logger, now func() time.Time, metrics prometheus.Registerer) (*Recorder, error) {
	r := &Recorder{client: client, instance: instance, log: log, now: now, last: LastWords,
		queue: make(chan Event, queueSize), told: map[string]time.Time{},
		lost: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "pillion_events_lost_total",
			Help: "Kubernetes Events that weren't written: queue_full, write_failed, or ending, when the API server was away at the end."}, []string{"reason"})}
	for _, reason := range []string{lostQueue, lostWrite, lostEnding} {
		r.lost.WithLabelValues(reason)
	}
	if err := metrics.Register(r.lost); err != nil {
		return nil, fmt.Errorf("registering metrics of Events: %w", err)
	}
	return r, nil
}

// Record queues e. It never blocks: a full queue drops it, for an Event is worth less than an admission. Only what was
// queued counts as told.
func (r *Recorder) Record(e Event) {
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if last, ok := r.told[key(e)]; ok && now.Sub(last) < quiet && !e.Always {
		return
	}
	select {
	case r.queue <- e:
		r.remember(e, now)
	default:
		r.lose(e, lostQueue, nil)
	}
}

// key is what is told once in a while: about this object for this reason.
func key(e Event) string {
	return fmt.Sprintf("%s/%s/%s/%s/%s", e.Object.Kind, e.Object.Namespace, e.Object.Name, e.Object.UID, e.Reason)
}

func (r *Recorder) remember(e Event, now time.Time) {
	if e.Always {
		return
	}
	if len(r.told) >= maxKnown {
		r.forget(now)
	}
	r.told[key(e)] = now
}

// lose counts an Event that nobody will read.
func (r *Recorder) lose(e Event, why string, err error) {
	r.lost.WithLabelValues(why).Inc()
	r.log.V(1).Info("event lost", "why", why, "reason", e.Reason, "object", e.Object.Name, "error", err)
}

// forget drops what is old, and everything if nothing is: a few Events too many are better than growth.
func (r *Recorder) forget(now time.Time) {
	for key, last := range r.told {
		if now.Sub(last) >= quiet {
			delete(r.told, key)
		}
	}
	if len(r.told) >= maxKnown {
		clear(r.told)
	}
}

// Run writes what is queued until ctx ends, then what is left, for LastWords at most, however many there are.
func (r *Recorder) Run(ctx context.Context) {
	writing, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(r.last, cancel) })()
	for {
		select {
		case e := <-r.queue:
			r.write(writing, e)
		case <-ctx.Done():
			r.drain(writing)
			return
		}
	}
}

func (r *Recorder) drain(ctx context.Context) {
	for {
		select {
		case e := <-r.queue:
			r.write(ctx, e)
		default:
			return
		}
	}
}

func (r *Recorder) write(ctx context.Context, e Event) {
	if ctx.Err() != nil {
		r.lose(e, lostEnding, ctx.Err())
		return
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	namespace := e.Object.Namespace
	if namespace == "" {
		namespace = metav1.NamespaceDefault // where Events of cluster-scoped objects live
	}
	now := metav1.NewTime(r.now())
	if len(e.Message) > maxMessage {
		e.Message = e.Message[:maxMessage-3] + "..."
	}
	_, err := r.client.CoreV1().Events(namespace).Create(ctx, &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{GenerateName: "pillion-", Namespace: namespace},
		InvolvedObject: e.Object, Type: e.Type, Reason: e.Reason, Message: e.Message,
		Source:         corev1.EventSource{Component: "pillion", Host: r.instance},
		FirstTimestamp: now, LastTimestamp: now, Count: 1,
		ReportingController: "pillion.dev/operator", ReportingInstance: r.instance,
	}, metav1.CreateOptions{})
	if err != nil {
		r.lose(e, lostWrite, err)
	}
}
