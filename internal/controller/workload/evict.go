package workload

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/controller/events"
	"github.com/pillion-mesh/pillion/internal/inject"
)

// turn is one Injector's turn to evict in one look.
type turn struct {
	*look
	inj    *v1alpha1.Injector
	pace   *pacer
	owners map[string][]int // owner -> its pods, as indexes of look.pods
}

// evict gives each Injector its turn.
func (c *Controller) evict(ctx context.Context, l *look) error {
	c.confirm.budget = asksPerLook
	var owners map[string][]int
	present := map[types.UID]bool{}
	var faults []error
	for _, inj := range l.injectors {
		present[inj.UID] = true
		pace := c.pacers[inj.UID]
		if inj.Spec.Workload.Evict == v1alpha1.EvictNever && (pace == nil || len(pace.awaited) == 0) {
			delete(c.pacers, inj.UID)
			continue
		}
		if pace == nil {
			pace = newPacer()
			c.pacers[inj.UID] = pace
		}
		if owners == nil {
			owners = l.owners()
		}
		faults = append(faults, c.take(ctx, &turn{look: l, inj: inj, pace: pace, owners: owners}))
	}
	c.forget(present)
	return errors.Join(faults...)
}

// forget drops what is of Injectors that are gone.
func (c *Controller) forget(present map[types.UID]bool) {
	for uid := range c.pacers {
		if !present[uid] {
			delete(c.pacers, uid)
			delete(c.held, uid)
		}
	}
	for uid := range c.written {
		if !present[uid] {
			delete(c.written, uid)
		}
	}
}

func (l *look) owners() map[string][]int {
	all := map[string][]int{}
	for i := range l.pods {
		key := ownerKey(&l.pods[i])
		all[key] = append(all[key], i)
	}
	return all
}

// take is an Injector's turn: first what came of the evictions before, then the next one.
func (c *Controller) take(ctx context.Context, t *turn) error {
	uids := t.uids()
	t.pace.forget(t.now, func(uid types.UID) bool { return uids[uid] })
	t.pace.changed(t.inj.Generation)
	c.await(ctx, t)
	why, err := c.heldBack(ctx, t)
	if c.held[t.inj.UID] != why {
		c.held[t.inj.UID] = why
		c.Log.Info("evictions", "injector", t.inj.Name, "held_back", why)
	}
	if why != "" || err != nil {
		return err
	}
	return c.next(ctx, t)
}

// next evicts the next pod there is, if it is time.
func (c *Controller) next(ctx context.Context, t *turn) error {
	chosen := t.choose()
	for i := range chosen {
		if wait := t.pace.wait(t.now, t.inj.Spec.Workload.EvictionsPerMinute); wait > 0 {
			t.again = min(t.again, wait)
			return nil
		}
		if *t.inj.Spec.Workload.DryRun {
			c.say(t, &chosen[i])
		} else if err := c.evictOne(ctx, t, &chosen[i]); err != nil {
			return err
		}
	}
	return nil
}

// choose lists the pods that may be evicted: those without a sidecar first, then the oldest.
func (t *turn) choose() []finding {
	var chosen []finding
	for _, f := range t.findings {
		if f.injector == t.inj.Name && t.wanted(&f) && t.ripe(f.pod) {
			chosen = append(chosen, f)
		}
	}
	slices.SortFunc(chosen, func(a, b finding) int {
		return cmp.Or(cmp.Compare(a.state, b.state), a.pod.CreationTimestamp.Compare(b.pod.CreationTimestamp.Time), // missing < stale
			cmp.Compare(a.pod.Namespace+"/"+a.pod.Name, b.pod.Namespace+"/"+b.pod.Name))
	})
	return chosen
}

// wanted says whether the Injector wants such pods evicted. Those that would be denied stay.
func (t *turn) wanted(f *finding) bool {
	if *t.inj.Spec.Workload.DryRun {
		if has, said := t.pace.said[f.pod.UID]; said && has == f.has {
			return false
		}
	}
	switch f.state {
	case stateMissing:
		return f.answer.outcome == inject.OutcomeInject
	case stateStale:
		return t.inj.Spec.Workload.Evict == v1alpha1.EvictMissingAndStale
	default:
		return false
	}
}

// ripe says whether this pod may go: nobody minds, it is old enough, and its owner isn't busy replacing others. A young
// pod beside it may be part of a rollout, or of an eviction that the leader before us made.
func (t *turn) ripe(p *metav1.PartialObjectMetadata) bool {
	key := ownerKey(p)
	if !replaceable(p) || t.ends(p.Namespace) || t.young(p) || !t.pace.free(key, t.now) || !t.pace.free(string(p.UID), t.now) {
		return false
	}
	return !slices.ContainsFunc(t.owners[key], func(i int) bool {
		other := &t.pods[i]
		return other.DeletionTimestamp == nil && t.young(other) && !t.pace.ready[other.UID]
	})
}

// say is a dry run's eviction: it is told once, at the same pace.
func (c *Controller) say(t *turn, f *finding) {
	t.pace.tried(t.now, t.inj.Spec.Workload.EvictionsPerMinute)
	t.pace.said[f.pod.UID] = f.has
	c.metrics.evictions.WithLabelValues(string(resultDryRun)).Inc()
	c.Log.Info("pod would be evicted", "injector", t.inj.Name, "ns", f.pod.Namespace, "pod", f.pod.Name, "state", f.state)
	c.Record(events.Event{Object: reference(f.pod), Type: corev1.EventTypeNormal, Reason: EventDryRun,
		Message: fmt.Sprintf("pod %q would be evicted, its sidecar is %s; Injector %q has spec.workload.dryRun: true", f.pod.Name, f.state, t.inj.Name)})
}
