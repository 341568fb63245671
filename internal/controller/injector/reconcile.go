package injector

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/controller/events"
	"github.com/pillion-mesh/pillion/internal/inject"
)

// pass is one reconcile of one Injector: what its steps found, for the status.
type pass struct {
	inj          *v1alpha1.Injector // as the informer has it; not ours to change
	compiled     *Compiled
	state        *State
	op           inject.Operator
	names        []string // it owns
	webhooks     []webhookPass
	conflicts    []inject.Conflict
	certificates certificatesPass
	pending      string        // why no webhooks were written; "" if they were
	notKept      string        // why this version isn't there for processes to come; "" if it is
	again        time.Duration // look again after this
}

// Reconcile brings the API server in line with one Injector and says so in its status.
func (c *Controller) Reconcile(ctx context.Context, r reconcile.Request) (reconcile.Result, error) {
	state := c.Compiler.State()
	if state == nil {
		return reconcile.Result{RequeueAfter: compileWait}, nil
	}
	c.say(state)
	c.forget()
	var inj v1alpha1.Injector
	switch err := c.Client.Get(ctx, client.ObjectKey{Name: r.Name}, &inj); {
	case apierrors.IsNotFound(err):
		delete(c.saved, r.Name)
		delete(c.written, r.Name)
		return reconcile.Result{RequeueAfter: untilForgotten(state, r.Name)}, c.removeUnclaimed(ctx, r.Name, state)
	case err != nil:
		return reconcile.Result{}, fmt.Errorf("reading Injector %q: %w", r.Name, err)
	case !c.Revisions.Serves(&inj):
		return reconcile.Result{}, nil
	}
	compiled := state.Injectors[inj.Name]
	if compiled == nil || compiled.UID != inj.UID {
		return reconcile.Result{RequeueAfter: compileWait}, nil
	}
	p := &pass{inj: &inj, compiled: compiled, state: state, names: state.Names(inj.Name), op: c.Operator, again: resync}
	if compiled.Generation != inj.Generation { // its compile is under way; what is in effect is kept in order meanwhile
		return reconcile.Result{RequeueAfter: compileWait}, c.applyWebhooks(ctx, p)
	}
	err := errors.Join(c.saveLastGood(ctx, p), c.applyWebhooks(ctx, p), c.removeUnclaimed(ctx, inj.Name, state),
		c.findConflicts(ctx, p), c.keepValidation(ctx, p), c.writeStatus(ctx, p))
	return reconcile.Result{RequeueAfter: p.again}, err
}

// compileWait is when to look again where the compiling half is behind; it also says when it is done.
const compileWait = 100 * time.Millisecond

// untilForgotten is when to look again at an Injector that is gone: its names are free once the compiling half knows.
func untilForgotten(state *State, injector string) time.Duration {
	if state.Injectors[injector] == nil {
		return 0
	}
	return compileWait
}

func (p *pass) lookAgainIn(d time.Duration) { p.again = min(p.again, max(d, 50*time.Millisecond)) }

// saveLastGood keeps the present version for processes to come, if it is good. One that is too big is said to be so and
// not tried again.
func (c *Controller) saveLastGood(ctx context.Context, p *pass) error {
	if p.compiled.Program == nil || p.compiled.Previous() {
		return nil
	}
	mark := c.saved[p.inj.Name]
	if mark.version != p.compiled.InEffect { // a new pointer each time something compiled
		mark = savedMark{version: p.compiled.InEffect}
		if err := c.store.Save(ctx, p.compiled.InEffect); errors.Is(err, errTooBig) {
			mark.notKept = err.Error()
			c.Record(events.Event{Object: reference(p.inj.Name, p.inj.UID), Type: corev1.EventTypeWarning,
				Reason: reasonNotKept, Message: mark.notKept, Always: true})
		} else if err != nil {
			return err
		}
		c.saved[p.inj.Name] = mark
	}
	p.notKept = mark.notKept
	return nil
}

// writeStatus writes the status once, if it changed, and an Event for a fault that is new.
func (c *Controller) writeStatus(ctx context.Context, p *pass) error {
	c.readCertificates(p)
	next := p.inj.DeepCopy()
	next.Status = p.status()
	before := p.inj
	if equality.Semantic.DeepEqual(before.Status, next.Status) {
		before = c.lastWritten(p.inj)
	}
	if equality.Semantic.DeepEqual(before.Status, next.Status) {
		return nil
	}
	if err := c.Client.Status().Patch(ctx, next, client.MergeFrom(before)); err != nil {
		return fmt.Errorf("writing the status of Injector %q: %w", p.inj.Name, client.IgnoreNotFound(err))
	}
	c.written[p.inj.Name] = next
	for _, condition := range next.Status.Conditions {
		if news(p.inj.Status.Conditions, condition) {
			c.Record(events.Event{Object: reference(p.inj.Name, p.inj.UID), Type: corev1.EventTypeWarning,
				Reason: condition.Reason, Message: condition.Message, Always: true})
		}
	}
	return nil
}

// lastWritten is the Injector with the status we wrote last. The informer may still show the one before that: what looks
// as it should be then isn't, and nobody would look again for a minute. The counts of pods are others' to write.
func (c *Controller) lastWritten(inj *v1alpha1.Injector) *v1alpha1.Injector {
	last := c.written[inj.Name]
	if last == nil || last.UID != inj.UID {
		return inj
	}
	written := inj.DeepCopy()
	written.Status = *last.Status.DeepCopy()
	written.Status.Pods = inj.Status.Pods
	return written
}
