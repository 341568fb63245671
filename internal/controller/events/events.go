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

	mu   sync.Mutex
	told map[string]time.Time
}

// New returns a Recorder that writes as instance, a pod's name.
func New(client kubernetes.Interface, instance string, log logr.Logger, now func() time.Time) *Recorder {
	return &Recorder{client: client, instance: instance, log: log, now: now,
		queue: make(chan Event, queueSize), told: map[string]time.Time{}}
}

// Record queues e. It never blocks: a full queue drops it, for an Event is worth less than an admission.
func (r *Recorder) Record(e Event) {
	if !e.Always && !r.first(e) {
		return
	}
	select {
	case r.queue <- e:
	default:
		r.log.V(1).Info("event dropped: the queue is full", "reason", e.Reason, "object", e.Object.Name)
	}
}

// first says whether nothing was told about e's object and reason lately.
func (r *Recorder) first(e Event) bool {
	key := fmt.Sprintf("%s/%s/%s/%s/%s", e.Object.Kind, e.Object.Namespace, e.Object.Name, e.Object.UID, e.Reason)
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if last, ok := r.told[key]; ok && now.Sub(last) < quiet {
		return false
	}
	if len(r.told) >= maxKnown {
		r.forget(now)
	}
	r.told[key] = now
	return true
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

// Run writes what is queued until ctx ends, then what is left.
func (r *Recorder) Run(ctx context.Context) {
	for {
		select {
		case e := <-r.queue:
			r.write(e)
		case <-ctx.Done():
			r.drain()
			return
		}
	}
}

func (r *Recorder) drain() {
	for {
		select {
		case e := <-r.queue:
			r.write(e)
		default:
			return
		}
	}
}

func (r *Recorder) write(e Event) {
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
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
		r.log.V(1).Info("event not written", "reason", e.Reason, "object", e.Object.Name, "error", err.Error())
	}
}
