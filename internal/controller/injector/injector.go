// Package injector turns Injectors into what is served and what the API server holds: on every replica a compiled
// inject.Set, on the leader the MutatingWebhookConfigurations, the last good versions and the status.
//
// In come Injectors, ConfigMaps they refer to, webhook configurations and the caBundle; out go Compiler.Set for the
// webhook and writes to the API server. Read this file first, then state.go and compile.go (every replica), reconcile.go
// and webhooks.go (the leader), managed.go and field.go (the two modes), drift.go (what counts as a difference).
package injector

import (
	"context"
	"slices"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/controller/events"
	"github.com/pillion-mesh/pillion/internal/inject"
)

// resync is how often everything is looked at without a reason.
const resync = time.Minute

// Options are what the controller works with. All but CertificatesStatus and CertificatesFault are required.
type Options struct {
	Client             client.Client // reads from informers
	Live               client.Reader // reads past every cache
	Metadata           client.Reader // metadata of ConfigMaps in the operator's namespace, from an informer
	Operator           inject.Operator
	Revisions          Revisions                                             // of the Injectors to serve
	CRD                func(ctx context.Context) (types.UID, error)          // of Injectors
	ValidationPath     string                                                // where this operator is asked about Injectors; "": it isn't
	Bundle             func() []byte                                         // the caBundle to write; empty: not known yet
	Trusted            func(ctx context.Context, configuration string) error // whether its live caBundle verifies what we serve
	CertificatesStatus func() *v1alpha1.CertificatesStatus                   // status.certificates; nil, or a nil result: not known yet
	CertificatesFault  func() (reason, message string)                       // why certificates aren't ready; "": they are
	Compiled           func()                                                // called when spec.certificates in effect may be others; nil: nobody cares
	Record             func(events.Event)
	Now                func() time.Time
	Log                logr.Logger
	Metrics            prometheus.Registerer
}

// Controller is both halves.
type Controller struct {
	Options
	Compiler *Compiler
	store    ConfigMaps
	metrics  *metrics
	limiter  *limiter
	poke     chan event.GenericEvent
	unsaid   chan announcement             // bounded: more than a few at once tell nobody more
	applied  map[string]string             // configuration -> what we applied last; the leader's reconcile only
	measured map[string]bool               // configurations that metrics have; likewise
	saved    map[string]savedMark          // Injector -> version kept as the last good one
	written  map[string]*v1alpha1.Injector // Injector -> with the status we wrote last
}

type savedMark struct {
	version *v1alpha1.Injector
	notKept string // why it couldn't be
}

// New returns a controller; AddTo starts it with a manager.
func New(o Options) (*Controller, error) {
	m, err := newMetrics(o.Metrics)
	if err != nil {
		return nil, err
	}
	store := ConfigMaps{Client: o.Client, Live: o.Live, Namespace: o.Operator.Namespace, Service: o.Operator.Service, Most: maxLastGood}
	return &Controller{
		Options: o, store: store, metrics: m, limiter: newLimiter(),
		Compiler: &Compiler{Injectors: o.Client, Revisions: o.Revisions, LastGood: store,
			Sources: Sources{Metadata: o.Metadata, Live: o.Live, Namespace: o.Operator.Namespace}, Operator: o.Operator, Compile: inject.Compile,
			Log: o.Log, ready: m.ready},
		poke:    make(chan event.GenericEvent, 1),
		unsaid:  make(chan announcement, 8),
		applied: map[string]string{}, measured: map[string]bool{}, saved: map[string]savedMark{}, written: map[string]*v1alpha1.Injector{},
	}, nil
}

// AddTo registers the compiling half, which every replica runs, and the writing half, which the leader runs.
func (c *Controller) AddTo(mgr manager.Manager) error {
	everyReplica, leaderOnly := false, true
	err := builder.ControllerManagedBy(mgr).Named("injector-compile").
		WithOptions(controller.Options{NeedLeaderElection: &everyReplica, RateLimiter: backoff()}).
		Watches(&v1alpha1.Injector{}, handler.EnqueueRequestsFromMapFunc(one), builder.WithPredicates(c.Revisions.matters())).
		WatchesMetadata(&corev1.ConfigMap{}, handler.EnqueueRequestsFromMapFunc(c.referring)).
		WatchesRawSource(source.Func(once)).
		Complete(reconcile.Func(c.compile))
	if err != nil {
		return err
	}
	return builder.ControllerManagedBy(mgr).Named("injector").
		WithOptions(controller.Options{NeedLeaderElection: &leaderOnly, RateLimiter: backoff()}).
		Watches(&v1alpha1.Injector{}, handler.EnqueueRequestsFromMapFunc(c.all), builder.WithPredicates(c.Revisions.matters())).
		Watches(&admissionv1.MutatingWebhookConfiguration{}, handler.EnqueueRequestsFromMapFunc(c.concerned)).
		Watches(&admissionv1.ValidatingWebhookConfiguration{}, handler.EnqueueRequestsFromMapFunc(c.concerned)).
		WatchesRawSource(source.Channel(c.poke, handler.EnqueueRequestsFromMapFunc(c.all))).
		Complete(c)
}

// once asks for a first look, for where there is no Injector nothing ever happens; that is known only then.
func once(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	queue.Add(request("all"))
	return nil
}

// compile is the compiling half. The writing half waits for no template; it hears when there is news.
func (c *Controller) compile(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
	changed, err := c.Compiler.Refresh(ctx)
	if changed {
		c.Poke()
	}
	if changed && c.Compiled != nil {
		c.Compiled()
	}
	return reconcile.Result{}, err
}

func backoff() workqueue.TypedRateLimiter[reconcile.Request] {
	return workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](100*time.Millisecond, 30*time.Second)
}

// Poke makes the leader look at everything again, because the caBundle may have changed, or what compiled. It never
// blocks.
func (c *Controller) Poke() {
	select {
	case c.poke <- event.GenericEvent{Object: &v1alpha1.Injector{}}:
	default: // one is on its way already
	}
}

func request(name string) reconcile.Request {
	return reconcile.Request{NamespacedName: types.NamespacedName{Name: name}}
}

// one maps every Injector to the same request: the compiler looks at all of them.
func one(context.Context, client.Object) []reconcile.Request {
	return []reconcile.Request{request("all")}
}

// referring asks for a compile if some Injector's templates come from a ConfigMap.
func (c *Controller) referring(ctx context.Context, cm client.Object) []reconcile.Request {
	var list v1alpha1.InjectorList
	if err := c.Client.List(ctx, &list); err != nil {
		c.Log.Error(err, "listing Injectors")
		return one(ctx, cm)
	}
	for i := range list.Items {
		if slices.Contains(references(&list.Items[i]), cm.GetName()) {
			return one(ctx, cm)
		}
	}
	return nil
}

// all maps a change of one Injector to all of them, for they compete for names, and to itself, for it may be gone.
func (c *Controller) all(ctx context.Context, changed client.Object) []reconcile.Request {
	var requests []reconcile.Request
	if changed.GetName() != "" {
		requests = append(requests, request(changed.GetName()))
	}
	var list v1alpha1.InjectorList
	if err := c.Client.List(ctx, &list); err != nil {
		c.Log.Error(err, "listing Injectors")
	}
	for _, inj := range list.Items {
		if c.Revisions.Serves(&inj) {
			requests = append(requests, request(inj.Name))
		}
	}
	return requests
}

// concerned maps a webhook configuration to the Injector it was rendered from; one that isn't ours may be in conflict
// with any.
func (c *Controller) concerned(ctx context.Context, configuration client.Object) []reconcile.Request {
	if name := configuration.GetLabels()[inject.LabelInjector]; name != "" {
		return []reconcile.Request{request(name)}
	}
	return c.all(ctx, &v1alpha1.Injector{})
}

// announcement is an Event on every Injector.
type announcement struct{ kind, reason, note string }

// Announce tells the users of every Injector: the next reconcile does, which knows them all. A process announces what it
// did at its start before it has read a single one.
func (c *Controller) Announce(kind, reason, note string) {
	select {
	case c.unsaid <- announcement{kind, reason, note}:
		c.Poke()
	default:
		c.Log.Info("announcement lost: too many wait for Injectors to be read", "reason", reason, "note", note)
	}
}

// say makes Events of what was announced.
func (c *Controller) say(state *State) {
	for {
		select {
		case a := <-c.unsaid:
			for name, one := range state.Injectors {
				c.Record(events.Event{Object: reference(name, one.UID), Type: a.kind, Reason: a.reason, Message: a.note, Always: true})
			}
		default:
			return
		}
	}
}

func reference(name string, uid types.UID) corev1.ObjectReference {
	return corev1.ObjectReference{APIVersion: v1alpha1.GroupVersion.String(), Kind: "Injector", Name: name, UID: uid}
}
