// Package servingcert keeps the webhook's TLS certificate: a CA in one Secret shared by all replicas, a leaf that each
// replica signs for itself in memory, and the caBundle that API servers must trust.
//
// In come the Secret, the caBundles the API server holds (observe.go) and the clock; out go GetCertificate for the
// webhook server, Bundle for the webhook configurations and Ready for /readyz. The one rule: the bundle always contains
// the CA of every leaf a replica may serve. Read this file first, then plan.go (what to do with what the Secret holds)
// and hold.go (when a new leaf may be served).
package servingcert

import (
	"context"
	"crypto/tls"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Times of certificates.
const (
	DefaultCADuration   = 365 * 24 * time.Hour
	DefaultLeafDuration = 24 * time.Hour

	backdate  = time.Hour        // NotBefore lies this far back: clocks differ
	spare     = 10 * time.Minute // a leaf with less left is as good as expired
	clockLook = 30 * time.Second // no timer spans more, so suspend and migration cost this much at most
	retry     = time.Second
)

// Options say whose certificate this is.
type Options struct {
	Service       string // SNI is <service>.<namespace>.svc
	Namespace     string
	ClusterDomain string
	Hosts         []string      // further DNS names and addresses of the leaf, for webhooks reached by URL
	CADuration    time.Duration // 0: DefaultCADuration
	LeafDuration  time.Duration // 0: DefaultLeafDuration
}

// Deps are what the controller works with. All are required but Serves, Claimed, Changed and Event.
type Deps struct {
	Client  client.Client // writes; its cache holds our webhook configurations
	Live    client.Reader // reads the Secret past every cache
	Leader  func() bool   // whether this replica holds the Lease
	Now     func() time.Time
	Jitter  func() float64 // in [0, 1)
	Log     logr.Logger
	Metrics prometheus.Registerer
	Serves  func(revision string) bool      // whether its Injector is this operator's; nil: all are
	Claimed func(configuration string) bool // whether an Injector we serve has it; nil: all count
	Changed func()                          // called when Bundle may give something else
	Event   func(reason, note string)       // tells the user
}

// Controller implements manager.Runnable on every replica, leader or not.
type Controller struct {
	Options
	Deps
	metrics *metrics
	ready   readiness
	wake    chan struct{}

	leaf  atomic.Pointer[leaf]      // the one being served
	alarm atomic.Pointer[time.Time] // when a handshake called for a look last

	mu     sync.Mutex
	stored stored    // what this replica took from the Secret
	since  time.Time // since when the live bundles verify a leaf of stored.Active that isn't served yet
}

// New returns a controller that does nothing until Start.
func New(o Options, d Deps) (*Controller, error) {
	if o.CADuration == 0 {
		o.CADuration = DefaultCADuration
	}
	if o.LeafDuration == 0 {
		o.LeafDuration = DefaultLeafDuration
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
		d.Event = func(string, string) {}
	}
	m, err := newMetrics(d.Metrics)
	if err != nil {
		return nil, err
	}
	return &Controller{Options: o, Deps: d, metrics: m, wake: make(chan struct{}, 1)}, nil
}

// SecretName is the Secret's name for a Service.
func SecretName(service string) string { return service + "-serving-ca" }

// NeedLeaderElection makes every replica run this: each signs its own leaf.
func (c *Controller) NeedLeaderElection() bool { return false }

// Wake asks for a look at the Secret now. It never blocks.
func (c *Controller) Wake() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Start looks at Secret, clock and bundles until ctx ends.
func (c *Controller) Start(ctx context.Context) error {
	for {
		pause := clockLook
		if err := c.Step(ctx); err != nil && ctx.Err() == nil {
			c.Log.Error(err, "serving certificate isn't as it should be; will try again")
			pause = retry
		}
		if c.unsettled() {
			pause = retry
		}
		timer := time.NewTimer(pause)
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

// Step does everything once: Secret to memory or memory to Secret, then the leaf.
func (c *Controller) Step(ctx context.Context) error {
	before := c.Bundle()
	err := errors.Join(c.syncSecret(ctx), c.syncLeaf(ctx))
	if string(before) != string(c.Bundle()) {
		c.Changed()
	}
	c.measure()
	return err
}

// unsettled is true while waiting for the live bundles or for the Lease, neither of which wakes us.
func (c *Controller) unsettled() bool {
	served := c.leaf.Load()
	c.mu.Lock()
	defer c.mu.Unlock()
	return served == nil || c.stored.Active == nil || !served.signedBy(c.stored.Active.Cert)
}

// GetCertificate is tls.Config's.
func (c *Controller) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	served := c.leaf.Load()
	if served == nil {
		return nil, errors.New("no serving certificate yet: the CA's Secret has not been read")
	}
	return &served.tls, nil
}

// Bundle is what every webhook entry's caBundle must be. It is nil only before the Secret was first read.
func (c *Controller) Bundle() []byte {
	served := c.leaf.Load()
	c.mu.Lock()
	defer c.mu.Unlock()
	return bundle(c.stored.certificates(served), c.Now())
}
