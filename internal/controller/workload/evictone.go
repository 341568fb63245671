package workload

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pillion-mesh/pillion/internal/controller/events"
	"github.com/pillion-mesh/pillion/internal/inject"
	"github.com/pillion-mesh/pillion/internal/istio"
)

// evictTimeout bounds one call. A PodDisruptionBudget that isn't worked out yet makes the client wait for it so long.
const evictTimeout = 5 * time.Second

// evictOne evicts one pod as it is now, if it would come back with a sidecar. An error is of the API server as a whole.
func (c *Controller) evictOne(ctx context.Context, t *turn, f *finding) error {
	whole := c.confirm.read(ctx, f.pod)
	if whole == nil {
		return c.confirm.faulted
	}
	key := ownerKey(f.pod)
	d, err := decide(whole, t.view)
	if err != nil {
		return err
	}
	_, has := whole.Annotations[istio.AnnotationStatus]
	if d.Outcome != inject.OutcomeInject || d.Injector != t.inj.Name || has != (f.state == stateStale) || whole.DeletionTimestamp != nil {
		c.Log.Info("pod isn't evicted: it wouldn't come back better", "injector", t.inj.Name, "ns", whole.Namespace, "pod", whole.Name,
			"decision", d.Outcome, "reason", d.Reason())
		t.pace.leave(key, t.now)
		return nil
	}
	if spare, known := c.spare(ctx, t, whole, key); !known || !spare {
		return c.confirm.faulted
	}
	t.pace.tried(t.now, t.inj.Spec.Workload.EvictionsPerMinute)
	switch err := c.post(ctx, whole); {
	case err == nil:
		t.pace.evicted(key, reference(f.pod), t.podsOf(key), t.now)
		c.evicted(t, f)
	case apierrors.IsNotFound(err) || apierrors.IsConflict(err): // it changed since; the next look sees how
	default:
		c.refused(t, f, err, t.pace.refused(key, t.now))
	}
	return nil
}

// othersRead is how many pods of an owner are looked at before one more of it goes.
const othersRead = 10

// spare says whether an owner can do without a pod: it does already if that isn't ready, else the others have to be, as
// not every owner has a PodDisruptionBudget. A DaemonSet's don't stand in for one another.
func (c *Controller) spare(ctx context.Context, t *turn, whole *corev1.Pod, owner string) (spare, known bool) {
	if controller := metav1.GetControllerOfNoCopy(whole); !ready(whole) || controller.Kind == "DaemonSet" {
		return true, true
	}
	read := 0
	for _, i := range t.owners[owner] {
		other := &t.pods[i]
		if other.UID == whole.UID || other.DeletionTimestamp != nil {
			continue
		}
		if read++; read > othersRead {
			break
		}
		found := c.confirm.read(ctx, other)
		if found == nil { // gone, or not to be had now
			return false, false
		}
		if !ready(found) {
			delay := t.pace.refused(string(whole.UID), t.now)
			c.Log.Info("pod isn't evicted: another of its owner isn't ready", "injector", t.inj.Name, "ns", whole.Namespace, "pod", whole.Name,
				"other", found.Name, "again", delay)
			return false, true
		}
	}
	return true, true
}

// post evicts this very pod in this very state.
func (c *Controller) post(ctx context.Context, whole *corev1.Pod) error {
	ctx, cancel := context.WithTimeout(ctx, evictTimeout)
	defer cancel()
	return c.Client.SubResource("eviction").Create(ctx, whole, &policyv1.Eviction{
		ObjectMeta: metav1.ObjectMeta{Namespace: whole.Namespace, Name: whole.Name},
		DeleteOptions: &metav1.DeleteOptions{Preconditions: &metav1.Preconditions{
			UID: &whole.UID, ResourceVersion: &whole.ResourceVersion,
		}},
	})
}

// podsOf are an owner's pods, those that end included.
func (t *turn) podsOf(owner string) map[types.UID]bool {
	uids := map[types.UID]bool{}
	for _, i := range t.owners[owner] {
		uids[t.pods[i].UID] = true
	}
	return uids
}

func (c *Controller) evicted(t *turn, f *finding) {
	c.metrics.evictions.WithLabelValues(string(resultEvicted)).Inc()
	c.Log.Info("pod evicted", "injector", t.inj.Name, "ns", f.pod.Namespace, "pod", f.pod.Name, "state", f.state)
	c.Record(events.Event{Object: reference(f.pod), Type: corev1.EventTypeNormal, Reason: EventEvicted,
		Message: fmt.Sprintf("pod %q evicted, its sidecar was %s; Injector %q has spec.workload.evict: %s", f.pod.Name, f.state, t.inj.Name, t.inj.Spec.Workload.Evict)})
}

// refused tells of an eviction the API server refused.
func (c *Controller) refused(t *turn, f *finding, err error, delay time.Duration) {
	what := resultFailed
	if apierrors.HasStatusCause(err, policyv1.DisruptionBudgetCause) {
		what = resultBlocked
		c.Record(events.Event{Object: reference(f.pod), Type: corev1.EventTypeWarning, Reason: EventBlocked,
			Message: fmt.Sprintf("pod %q, whose sidecar is %s, isn't evicted: %v; next try in %s", f.pod.Name, f.state, err, delay)})
	}
	c.metrics.evictions.WithLabelValues(string(what)).Inc()
	c.Log.Info("pod not evicted", "injector", t.inj.Name, "ns", f.pod.Namespace, "pod", f.pod.Name, "state", f.state,
		"result", what, "error", err.Error(), "again", delay)
}
