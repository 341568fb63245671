// Package servingcert keeps the identity that API servers know the operator's webhook by: the CAs in one Secret shared by
// all replicas, the leaf that each replica serves from memory, and the caBundle that API servers must trust. Leaves are
// signed here, or come from cert-manager or the user; whoever issues them, a new CA is introduced, promoted and retired
// in the same steps.
//
// In come the Secret, the caBundles the API server holds, pairs that others issued, what replicas are seen to serve and
// the clock; out go GetCertificate for the webhook server, Bundle for the webhook configurations, Ready for /readyz and
// Status. Package rotation decides; this one looks and does. Read rotation first, then this file, sync.go (what becomes
// of the Secret), lead.go (what only the leader does) and hold.go (which leaf is served); entries.go and evidence.go are
// the eyes, nap.go what becomes of who was stopped, tls.go and
// ready.go what others ask.
package servingcert

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/controller/servingcert/pairs"
	"github.com/pillion-mesh/pillion/internal/controller/servingcert/probe"
	"github.com/pillion-mesh/pillion/internal/controller/servingcert/replicas"
	"github.com/pillion-mesh/pillion/internal/controller/servingcert/rotation"
)

// lookAtFiles is how often files are read again, which tell of no change.
const lookAtFiles = 10 * time.Second

// Options say whose certificate this is.
type Options struct {
	Service       string // SNI is <service>.<namespace>.svc
	Namespace     string
	ClusterDomain string
	Hosts         []string       // further DNS names and addresses of the leaf, for webhooks reached by URL
	ProbeHost     string         // SNI that is shown the leaf that is served next; "": <service>-probe.<namespace>.svc
	Validation    string         // the ValidatingWebhookConfiguration that leads here; "": there is none
	Times         rotation.Times // zero: rotation.DefaultTimes
}

// Deps are what the controller works with. All are required but those that say so.
type Deps struct {
	Client   client.Client // writes; its cache holds our webhook configurations
	Live     client.Reader // reads past every cache
	Leader   func() bool   // whether this replica holds the Lease
	Now      func() time.Time
	Jitter   func() float64 // in [0, 1)
	Log      logr.Logger
	Metrics  prometheus.Registerer
	Settings func() v1alpha1.Certificates    // spec.certificates in effect; nil: the defaults
	Known    func() bool                     // whether Settings is more than a guess; nil: it is
	Serves   func(revision string) bool      // whether its Injector is this operator's; nil: all are
	Claimed  func(configuration string) bool // whether an Injector we serve has it; nil: all count
	Changed  func()                          // called when Bundle, Status or Fault give something else; nil: nobody cares
	Event    func(kind, reason, note string) // tells the user; nil: nobody cares
	Pairs    Pairs                           // nil: nobody else issues certificates
	Replicas Replicas                        // nil: they can't be looked at
	Prober   Prober                          // nil: there is no probe
}

// Pairs gives the certificate that somebody else issued.
type Pairs interface {
	// Candidate is the pair to serve by the settings. It may ask for one to be issued. There may be a pair with an error.
	Candidate(ctx context.Context, settings v1alpha1.Certificates, names []string) (*pairs.Pair, error)
}

// Replicas looks at what ready replicas serve.
type Replicas interface {
	Look(ctx context.Context) ([]replicas.Served, error)
}

// Prober calls through API servers.
type Prober interface {
	// Keep keeps the probe's webhook configuration with that caBundle, or removes it if that is empty.
	Keep(ctx context.Context, caBundle []byte) error
	// Cover asks each API server until each of the replicas has answered.
	Cover(ctx context.Context, replicas []string) ([]probe.Answer, error)
}

// Controller implements manager.Runnable on every replica, leader or not.
type Controller struct {
	Options
	Deps
	metrics *metrics
	ready   readiness
	told    told
	wake    chan struct{}
	turn    chan struct{} // held by who looks and does

	leaf    atomic.Pointer[leaf]      // the one being served
	shown   atomic.Pointer[leaf]      // the one under ProbeHost; nil: the same
	alarm   atomic.Pointer[time.Time] // when a handshake called for a look last
	looked  atomic.Pointer[time.Time] // when a look that succeeded began
	pulse   atomic.Pointer[time.Time] // when this process was last seen to run
	nap     atomic.Pointer[nap]       // nil: there was none, or a look has succeeded since
	status  atomic.Pointer[report]
	settled atomic.Int64 // nanoseconds for which bundles are known to verify the served leaf
	holding atomic.Bool  // whether there is a leaf of active that isn't served yet
	leads   atomic.Bool  // whether the last look was a leader's
	eyes    eyes

	mu     sync.Mutex
	stored stored // what this replica took from the Secret

	complaint complaint // only Start touches it

	// These are only touched by who has the turn.
	pair     *leaf  // that somebody else issued
	expiring string // why somebody has to see to it
	refused  error  // why there is none
	prepared map[rotation.ID]*leaf
	held     map[rotation.ID]*rotation.Streak // of leaves that aren't served: since when they are trusted
	active   rotation.Streak                  // that it is the present one
	serving  rotation.Streak                  // that bundles verify the served leaf
	jitter   float64
	leading  *leading // nil: this replica doesn't
	missing  int      // looks that found no Secret
}

// New returns a controller that does nothing until Start.
func New(o Options, d Deps) (*Controller, error) {
	if o.Times == (rotation.Times{}) {
		o.Times = rotation.DefaultTimes()
	}
	if o.ProbeHost == "" {
		o.ProbeHost = o.Service + "-probe." + o.Namespace + ".svc"
	}
	d.complete()
	m, err := newMetrics(d.Metrics)
	if err != nil {
		return nil, err
	}
	return &Controller{Options: o, Deps: d, metrics: m, wake: make(chan struct{}, 1), turn: make(chan struct{}, 1),
		eyes: newEyes(), told: told{}, prepared: map[rotation.ID]*leaf{}, held: map[rotation.ID]*rotation.Streak{}}, nil
}

func (d *Deps) complete() {
	if d.Settings == nil {
		d.Settings = v1alpha1.DefaultCertificates
	}
	if d.Known == nil {
		d.Known = func() bool { return true }
	}
	if d.Serves == nil {
		d.Serves = func(string) bool { return true }
	}
	if d.Claimed == nil {
		d.Claimed = func(string) bool { return true }
	}
	if d.Changed == nil {
		d.Changed = func() {}
	}
	if d.Event == nil {
		d.Event = func(string, string, string) {}
	}
}

// SecretName is the Secret's name for a Service.
func SecretName(service string) string { return v1alpha1.ServingCASecret(service) }

// NeedLeaderElection makes every replica run this: each serves a leaf of its own.
func (c *Controller) NeedLeaderElection() bool { return false }

// Wake asks for a look now. It never blocks.
func (c *Controller) Wake() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Start looks at Secret, clock and bundles until ctx ends.
func (c *Controller) Start(ctx context.Context) error {
	var wait sync.WaitGroup
	defer wait.Wait()
	wait.Go(func() { c.lookAround(ctx) })
	wait.Go(func() { c.beat(ctx) })
	for {
		err := c.Step(ctx)
		c.complain(ctx, err)
		timer := time.NewTimer(c.pause(err))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-c.wake:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// Step does everything once: what others issued, Secret to memory or memory to Secret, then the leaf.
func (c *Controller) Step(ctx context.Context) error {
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-c.turn }()
	return c.step(ctx)
}

func (c *Controller) step(ctx context.Context) error {
	slept, began := c.slept(), c.Now()
	before := c.bundle(began)
	c.syncPair(ctx)
	failed := c.syncSecret(ctx)
	err := errors.Join(failed, c.syncLeaf(ctx, failed == nil))
	woke := c.seenSince(slept, failed == nil)
	if failed == nil {
		c.looked.Store(&began)
	}
	c.measure()
	led := c.leads.Swap(c.leading != nil)
	if told := c.report(); told || woke || led != c.leads.Load() || string(before) != string(c.bundle(c.Now())) {
		c.Changed()
	}
	return err
}

// pause is until the next look without a reason. No timer spans more than Look, so suspend and migration cost that much.
func (c *Controller) pause(err error) time.Duration {
	served := c.leaf.Load()
	c.mu.Lock()
	s := c.stored.State
	c.mu.Unlock()
	switch {
	case err != nil, served == nil, c.holding.Load():
		return c.Times.Retry
	case s.Phase == rotation.Introduce, s.Phase == rotation.Propagate, s.Phase == rotation.Promote:
		return c.Times.Retry
	case s.Phase == rotation.Retire:
		left := c.Times.Of(s).Retire - c.Now().Sub(s.Since)
		return min(c.Times.Look, max(c.Times.Retry, left))
	case c.Settings().Source == v1alpha1.CertificatesProvided:
		return min(c.Times.Look, lookAtFiles)
	}
	return c.Times.Look
}
