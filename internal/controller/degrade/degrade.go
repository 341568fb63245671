// Package degrade keeps pods creatable while no operator answers, for Injectors that ask for it (degrade.mode Ignore):
// failurePolicy becomes Ignore when the operator's Service has had no ready endpoint for a while, and what it was when it
// has had one for a while. It takes a living process; so the operator's leader runs it, and a watchdog can run it alone.
//
// In come EndpointSlices, Injectors and our webhook configurations; out go patches of failurePolicy. What was done is
// kept in the object, as an annotation: whoever comes after a restart, or repairs the object, sees it there. Read this
// file first, then judge.go (what is to be), write.go (how it is written) and farewell.go (the last replica's end).
package degrade

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/controller/events"
	"github.com/pillion-mesh/pillion/internal/inject"
)

// step is how often everything is looked at; all of it is in informers.
const step = time.Second

// Options are what the controller works with. All are required but InEffect.
type Options struct {
	Client    client.Client // reads from informers
	Live      client.Reader
	Namespace string // the operator's
	Service   string
	PodName   string
	Serves    func(*v1alpha1.Injector) bool
	InEffect  func(*v1alpha1.Injector) *v1alpha1.InjectorSpec // what its webhooks are rendered from; nil: the present one
	Status    bool                                            // write the condition too: nobody else is there to
	Record    func(events.Event)
	Now       func() time.Time
	Log       logr.Logger
	Metrics   prometheus.Registerer
}

// Controller is a Runnable for one leader.
type Controller struct {
	Options
	endpoints spell
	metric    *prometheus.GaugeVec
	mu        sync.Mutex        // Farewell may begin while Start still ends
	measured  map[string]bool   // Injectors
	denied    map[string]denial // by configuration
}

// New returns a controller; Start runs it.
func New(o Options) (*Controller, error) {
	metric := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "pillion_injector_degraded",
		Help: "Whether failurePolicy of the Injector's webhooks is Ignore because no operator was ready; the leader's view."}, []string{"injector"})
	if err := o.Metrics.Register(metric); err != nil {
		return nil, fmt.Errorf("registering degrade metrics: %w", err)
	}
	return &Controller{Options: o, metric: metric, measured: map[string]bool{}, denied: map[string]denial{}}, nil
}

// Start implements manager.Runnable; only the leader runs it.
func (c *Controller) Start(ctx context.Context) error {
	ticker := time.NewTicker(step)
	defer ticker.Stop()
	for {
		if err := c.Step(ctx); err != nil && ctx.Err() == nil {
			c.Log.Error(err, "failurePolicy isn't as it should be; will try again")
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// Step looks once and does what is to be done.
func (c *Controller) Step(ctx context.Context) error {
	ready, err := c.ready(ctx, c.Client, "")
	if err != nil {
		return err
	}
	now := c.Now()
	c.endpoints.see(ready > 0, now)
	return c.each(ctx, c.Client, func(inj *v1alpha1.Injector, was bool) bool {
		return c.wanted(inj, was, now)
	})
}

// each brings the webhook configurations of every Injector to what wanted says of it.
func (c *Controller) each(ctx context.Context, from client.Reader, wanted func(inj *v1alpha1.Injector, was bool) bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var injectors v1alpha1.InjectorList
	var all admissionv1.MutatingWebhookConfigurationList
	err := errors.Join(from.List(ctx, &injectors), from.List(ctx, &all, client.HasLabels{inject.LabelInjector}))
	if err != nil {
		return fmt.Errorf("listing Injectors and webhook configurations: %w", err)
	}
	seen := map[string]bool{}
	var faults []error
	for i := range injectors.Items {
		inj := injectors.Items[i].DeepCopy()
		if !c.Serves(inj) {
			continue
		}
		if c.InEffect != nil {
			if spec := c.InEffect(inj); spec != nil {
				inj.Spec = *spec.DeepCopy()
			}
		}
		v1alpha1.SetDefaults(inj)
		seen[inj.Name] = true
		faults = append(faults, c.bring(ctx, inj, all.Items, wanted))
	}
	c.forget(seen)
	return errors.Join(faults...)
}

// bring does one Injector. Of several configurations, one that was written says what was. A label alone makes none ours.
func (c *Controller) bring(ctx context.Context, inj *v1alpha1.Injector, all []admissionv1.MutatingWebhookConfiguration, wanted func(*v1alpha1.Injector, bool) bool) error {
	var mine []*admissionv1.MutatingWebhookConfiguration
	was := false
	for i := range all {
		if all[i].Labels[inject.LabelInjector] == inj.Name && strings.HasPrefix(all[i].Name, inject.ConfigurationPrefix) {
			mine = append(mine, &all[i])
			was = was || Degraded(&all[i])
		}
	}
	now := wanted(inj, was)
	written, waits, err := c.writeAll(ctx, inj, mine, now)
	if err != nil || waits {
		return err
	}
	c.measure(inj.Name, now && len(mine) > 0)
	if written {
		c.tell(inj, now)
	}
	if c.Status && len(mine) > 0 {
		return c.writeStatus(ctx, inj, now)
	}
	return nil
}

func (c *Controller) measure(injector string, degraded bool) {
	value := 0.0
	if degraded {
		value = 1
	}
	c.metric.WithLabelValues(injector).Set(value)
	c.measured[injector] = true
}

func (c *Controller) forget(seen map[string]bool) {
	for name := range c.measured {
		if !seen[name] {
			c.metric.DeleteLabelValues(name)
			delete(c.measured, name)
		}
	}
}

func (c *Controller) tell(inj *v1alpha1.Injector, degraded bool) {
	e := events.Event{Type: corev1.EventTypeNormal, Reason: "Restored", Always: true,
		Object:  corev1.ObjectReference{APIVersion: v1alpha1.GroupVersion.String(), Kind: "Injector", Name: inj.Name, UID: inj.UID},
		Message: fmt.Sprintf("failurePolicy is %s again", inj.Spec.Webhook.FailurePolicy)}
	if degraded {
		e.Type, e.Reason = corev1.EventTypeWarning, "Degraded"
		e.Message = fmt.Sprintf("no operator is ready: failurePolicy is Ignore, so pods are created without sidecars, until one has been ready for %s",
			inj.Spec.Degrade.RestoreAfter.Duration)
	}
	c.Record(e)
	c.Log.Info("failurePolicy changed", "injector", inj.Name, "degraded", degraded)
}

// ready counts the ready endpoints of the Service, without those of one pod.
func (c *Controller) ready(ctx context.Context, from client.Reader, without string) (int, error) {
	var slices discoveryv1.EndpointSliceList
	err := from.List(ctx, &slices, client.InNamespace(c.Namespace), client.MatchingLabels{discoveryv1.LabelServiceName: c.Service})
	if err != nil {
		return 0, fmt.Errorf("listing the endpoints of Service %s/%s: %w", c.Namespace, c.Service, err)
	}
	n := 0
	for _, s := range slices.Items {
		for _, e := range s.Endpoints {
			if isReady(e) && (without == "" || e.TargetRef == nil || e.TargetRef.Name != without) {
				n++
			}
		}
	}
	return n, nil
}

// isReady follows the API: unknown is ready.
func isReady(e discoveryv1.Endpoint) bool { return e.Conditions.Ready == nil || *e.Conditions.Ready }
