// Package workload says which running pods lack the sidecar they should have, or have an old one: in the status of their
// Injector, in metrics and in Events. Where the Injector says so it evicts them, one after the other, so that they come
// back as they should be.
//
// In come pods' metadata, namespaces and Injectors from informers and the inject.Set in use; out go status.pods, Events
// and evictions. Only the leader runs it. Read this file first, then look.go (one look at all pods), classify.go and
// confirm.go (what a pod is), evict.go, hold.go and pace.go (who goes next, and when).
package workload

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/controller/admission"
	"github.com/pillion-mesh/pillion/internal/controller/events"
	"github.com/pillion-mesh/pillion/internal/inject"
)

// How often all pods are looked at. A look at 10,000 takes some milliseconds.
const (
	lookEvery = 2 * time.Second  // at most, while things change
	lookAgain = 10 * time.Second // at least, for time passes
	lookShare = 20               // a look of a second is followed by a pause of so many
)

// Options are what the controller works with. All are required but the times at the end.
type Options struct {
	Client    client.Client   // reads from Informers
	Live      client.Reader   // reads past every cache
	Informers cache.Informers // pods trimmed by Trim, and only those that Unfinished selects
	Set       func() *inject.Set
	Record    func(events.Event)
	Now       func() time.Time
	Log       logr.Logger
	Metrics   prometheus.Registerer
	Pause     time.Duration // between two looks while things change; 0: lookEvery
	Hold      time.Duration // after the first look, in which nothing is evicted; 0: holdFirst, negative: none
	Young     time.Duration // pods of that age may be part of a rollout; 0: minAge
}

// Defaults of Options.
const (
	holdFirst = 5 * time.Minute // whoever crashes sooner than that evicts nothing, however often
	minAge    = 2 * time.Minute
)

// Controller is one leader's.
type Controller struct {
	Options
	metrics *metrics
	confirm *confirmer
	wake    chan struct{}

	// Of the goroutine that looks.
	began   time.Time
	written map[types.UID]time.Time // Injector -> when its counts were written last
	counted map[string]bool         // Injectors with metrics
	told    map[string]time.Time    // reason and object -> when
	pacers  map[types.UID]*pacer    // Injector -> its evictions
	held    map[types.UID]string    // Injector -> why nothing is evicted
}

// New returns a controller that does nothing until Start.
func New(o Options) (*Controller, error) {
	m, err := newMetrics(o.Metrics)
	if err != nil {
		return nil, err
	}
	o.Pause, o.Hold, o.Young = cmp.Or(o.Pause, lookEvery), cmp.Or(o.Hold, holdFirst), cmp.Or(o.Young, minAge)
	return &Controller{
		Options: o, metrics: m, confirm: newConfirmer(o.Live, o.Now), wake: make(chan struct{}, 1),
		written: map[types.UID]time.Time{}, counted: map[string]bool{}, told: map[string]time.Time{},
		pacers: map[types.UID]*pacer{}, held: map[types.UID]string{},
	}, nil
}

// NeedLeaderElection says that one is enough: only the leader watches pods.
func (*Controller) NeedLeaderElection() bool { return true }

// Start looks at all pods whenever something changed, until ctx ends.
func (c *Controller) Start(ctx context.Context) error {
	if err := c.watch(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	for ctx.Err() == nil {
		start := time.Now()
		again, err := c.Look(ctx)
		if err != nil && ctx.Err() == nil {
			c.Log.Error(err, "couldn't look at all pods; will try again")
		}
		pause(ctx, max(c.Pause, lookShare*time.Since(start)), nil)
		pause(ctx, again, c.wake)
	}
	return nil
}

// pause waits, at the most until wake or the end of ctx.
func pause(ctx context.Context, d time.Duration, wake <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-wake:
	case <-timer.C:
	}
}

// watch starts the informer of pods, which no other replica has, and has everything that counts wake us.
func (c *Controller) watch(ctx context.Context) error {
	wake := func(any) {
		select {
		case c.wake <- struct{}{}:
		default:
		}
	}
	handler := toolscache.ResourceEventHandlerFuncs{AddFunc: wake, DeleteFunc: wake, UpdateFunc: func(_, now any) { wake(now) }}
	for _, object := range []client.Object{PodObject(), admission.NamespaceObject(), &v1alpha1.Injector{}} {
		informer, err := c.Informers.GetInformer(ctx, object)
		if err != nil {
			return fmt.Errorf("watching %T: %w", object, err)
		}
		registration, err := informer.AddEventHandler(handler)
		if err != nil {
			return fmt.Errorf("watching %T: %w", object, err)
		}
		context.AfterFunc(ctx, func() { _ = informer.RemoveEventHandler(registration) })
	}
	return nil
}
