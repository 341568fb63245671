package workload

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/controller/admission"
	"github.com/pillion-mesh/pillion/internal/inject"
)

// look is one look at all pods.
type look struct {
	now       time.Time
	adult     time.Time // who is younger may be part of a rollout
	view      *view
	ending    map[string]bool      // namespaces
	injectors []*v1alpha1.Injector // with defaults, those that inject; by name
	pods      []metav1.PartialObjectMetadata
	states    []state // of pods
	tallies   map[string]*tally
	findings  []finding
	again     time.Duration // look again after this, if nothing happens before
}

// finding is a pod about which there is something to tell.
type finding struct {
	pod      *metav1.PartialObjectMetadata
	state    state
	injector string
	has      string // the hash of a stale sidecar
	answer   answer // of a missing one
	unmet    bool   // none of these: it asked for a sidecar and met a matchCondition
}

// Look looks at all pods once: what they are is counted, told, and if their Injector says so acted on. It returns when to
// look again at the latest.
func (c *Controller) Look(ctx context.Context) (time.Duration, error) {
	l, err := c.read(ctx)
	if err != nil || l == nil {
		return lookEvery, err
	}
	c.classify(ctx, l)
	c.tell(l)
	err = errors.Join(c.confirm.faulted, c.publish(ctx, l), c.evict(ctx, l))
	return l.again, err
}

// read takes everything from the informers; nil before the first Set.
func (c *Controller) read(ctx context.Context) (*look, error) {
	set := c.Set()
	if set == nil {
		return nil, nil
	}
	l := &look{now: c.Now(), tallies: map[string]*tally{}, again: lookAgain}
	l.adult = l.now.Add(-c.Young)
	if c.began.IsZero() {
		c.began = l.now
	}
	namespaces, ending, err := c.namespaces(ctx)
	if err != nil {
		return nil, err
	}
	l.view, l.ending = newView(set, namespaces), ending
	if l.injectors, err = c.injectors(ctx, set); err != nil {
		return nil, err
	}
	for _, inj := range l.injectors {
		l.tallies[inj.Name] = newTally()
	}
	pods := &metav1.PartialObjectMetadataList{}
	pods.SetGroupVersionKind(PodObject().GroupVersionKind())
	if err := c.Client.List(ctx, pods, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing pods: %w", err)
	}
	l.pods, l.states = pods.Items, make([]state, len(pods.Items))
	return l, nil
}

func (c *Controller) namespaces(ctx context.Context) (all map[string]inject.Namespace, ending map[string]bool, err error) {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(admission.NamespaceObject().GroupVersionKind())
	if err := c.Client.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
		return nil, nil, fmt.Errorf("listing namespaces: %w", err)
	}
	all, ending = make(map[string]inject.Namespace, len(list.Items)), map[string]bool{}
	for i := range list.Items {
		ns := &list.Items[i]
		all[ns.Name] = inject.Namespace{Name: ns.Name, Labels: ns.Labels, Annotations: ns.Annotations}
		if ns.DeletionTimestamp != nil {
			ending[ns.Name] = true
		}
	}
	return all, ending, nil
}

// ends says whether nothing is made in a namespace any more.
func (l *look) ends(namespace string) bool {
	_, exists := l.view.namespaces[namespace]
	return !exists || l.ending[namespace]
}

// young says whether a pod may be part of a rollout.
func (l *look) young(p *metav1.PartialObjectMetadata) bool { return p.CreationTimestamp.After(l.adult) }

// injectors are those with a program. What they say of workloads counts from the edit on, even if the rest of that edit
// is faulty and the last good version stays in use: whoever writes Never wants it now.
func (c *Controller) injectors(ctx context.Context, set *inject.Set) ([]*v1alpha1.Injector, error) {
	var list v1alpha1.InjectorList
	if err := c.Client.List(ctx, &list); err != nil {
		return nil, fmt.Errorf("listing Injectors: %w", err)
	}
	var all []*v1alpha1.Injector
	for i := range list.Items {
		if inj := &list.Items[i]; set.Program(inj.Name) != nil {
			v1alpha1.SetDefaults(inj)
			all = append(all, inj)
		}
	}
	slices.SortFunc(all, func(a, b *v1alpha1.Injector) int { return cmp.Compare(a.Name, b.Name) })
	return all, nil
}

// classify finds out what each pod is.
func (c *Controller) classify(ctx context.Context, l *look) {
	c.confirm.begin()
	for i := range l.pods {
		p := &l.pods[i]
		v := l.view.classify(p)
		f := finding{pod: p, state: v.state, injector: v.injector, has: v.has}
		if v.state == stateCandidate {
			c.settle(ctx, &f, l)
		}
		if t := l.tallies[v.injector]; t != nil {
			l.states[i] = f.state
			t.add(p.Namespace, f.state)
		}
		if f.state == stateMissing || f.state == stateStale || f.unmet {
			l.findings = append(l.findings, f)
		}
	}
}

// settle makes a candidate a pod that misses its sidecar, or one that is right without.
func (c *Controller) settle(ctx context.Context, f *finding, l *look) {
	a, known := c.confirm.confirm(ctx, f.pod, f.injector, l.view)
	if !known {
		l.again = min(l.again, lookEvery)
		return
	}
	f.answer, f.state = a, stateNone
	switch a.outcome {
	case inject.OutcomeInject, inject.OutcomeDeny: // a denied one should have a sidecar too; it just can't as it is
		f.state = stateMissing
	case inject.OutcomeSkip:
		f.unmet = a.asked && slices.Contains(matchConditions, a.reason)
	case inject.OutcomeError:
	}
}

// matchConditions are why the API server doesn't call the webhook for a pod, so that nobody told yet.
var matchConditions = []inject.Reason{inject.ReasonHostNetwork, inject.ReasonWindows, inject.ReasonMirrorPod}

// uids are of all pods.
func (l *look) uids() map[types.UID]bool {
	all := make(map[types.UID]bool, len(l.pods))
	for i := range l.pods {
		all[l.pods[i].UID] = true
	}
	return all
}
