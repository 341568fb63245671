package workload

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pillion-mesh/pillion/internal/inject"
)

// Bounds of what is asked of the API server.
const (
	asksPerLook = 20               // whole pods read in one look at all of them
	askTimeout  = 5 * time.Second  // for one
	answerLife  = 30 * time.Minute // after which it is asked again
)

// question is what pods have in common of which one stands for all: those of one template, in one namespace, selected by
// the same Injector. A pod without a template stands for itself.
type question struct {
	maker              types.UID
	template, injector string
}

func questionAbout(p *metav1.PartialObjectMetadata, injector string) question {
	q := question{maker: p.UID, injector: injector}
	template := p.Labels[appsv1.DefaultDeploymentUniqueLabelKey]
	if template == "" {
		template = p.Labels[appsv1.ControllerRevisionHashLabelKey]
	}
	if c := metav1.GetControllerOfNoCopy(p); c != nil && template != "" {
		q.maker, q.template = c.UID, template
	}
	return q
}

// answer is what would become of such a pod if it were made now.
type answer struct {
	outcome inject.Outcome
	reason  inject.Reason
	message string
	asked   bool
	set     *inject.Set // that decided
	at      time.Time
}

// confirmer reads whole pods and decides about them as admission would. It remembers answers; an old one counts until
// there is a new one, so that counts don't drop to nothing whenever an Injector changes.
type confirmer struct {
	live client.Reader
	now  func() time.Time

	budget  int                 // reads left in this look
	known   map[question]answer // from the looks before
	next    map[question]answer // those of them that were needed in this one: the others are forgotten
	faulted error               // the first of this look; with one, nothing more is asked
}

func newConfirmer(live client.Reader, now func() time.Time) *confirmer {
	return &confirmer{live: live, now: now, known: map[question]answer{}, next: map[question]answer{}}
}

// begin starts a look at all pods.
func (c *confirmer) begin() {
	c.known, c.next = c.next, make(map[question]answer, len(c.next))
	c.budget, c.faulted = asksPerLook, nil
}

// confirm says what would become of a candidate. known is false if that can't be told yet.
func (c *confirmer) confirm(ctx context.Context, p *metav1.PartialObjectMetadata, injector string, v *view) (a answer, known bool) {
	q := questionAbout(p, injector)
	if a, known = c.next[q]; known {
		return a, true
	}
	a, known = c.known[q]
	if !known || a.set != v.set || c.now().Sub(a.at) > answerLife {
		if fresh, ok := c.ask(ctx, p, v); ok {
			a, known = fresh, true
		}
	}
	if known {
		c.next[q] = a
	}
	return a, known
}

func (c *confirmer) ask(ctx context.Context, p *metav1.PartialObjectMetadata, v *view) (answer, bool) {
	whole := c.read(ctx, p)
	if whole == nil {
		return answer{}, false
	}
	d, err := decide(whole, v)
	if err != nil {
		c.faulted = err
		return answer{}, false
	}
	return answer{outcome: d.Outcome, reason: d.Reason(), message: d.Message(), asked: d.Asked, set: v.set, at: c.now()}, true
}

// read is the whole pod; nil if it is gone, can't be had, or too many were read in this look.
func (c *confirmer) read(ctx context.Context, p *metav1.PartialObjectMetadata) *corev1.Pod {
	if c.budget <= 0 || c.faulted != nil {
		return nil
	}
	c.budget--
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	whole := &corev1.Pod{}
	switch err := c.live.Get(ctx, client.ObjectKeyFromObject(p), whole); {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		c.faulted = fmt.Errorf("reading pod %s/%s: %w", p.Namespace, p.Name, err)
		return nil
	case whole.UID != p.UID:
		return nil
	}
	return whole
}

// decide is what admission would say about the pod if it were made now.
func decide(whole *corev1.Pod, v *view) (inject.Decision, error) {
	text, err := json.Marshal(whole)
	if err != nil {
		return inject.Decision{}, fmt.Errorf("pod %s/%s: %w", whole.Namespace, whole.Name, err)
	}
	return v.set.Decide(inject.Request{Namespace: v.namespace(whole.Namespace), Pod: text}), nil
}
