package workload

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// await looks what became of the pods that were evicted.
func (c *Controller) await(ctx context.Context, t *turn) {
	for _, owner := range slices.Sorted(maps.Keys(t.pace.awaited)) {
		what := c.judge(ctx, t, owner, t.pace.awaited[owner])
		if what == "" {
			continue
		}
		c.Log.Info("replacement", "injector", t.inj.Name, "owner", owner, "is", what)
		if what == replacementNotOwed {
			t.pace.gone(owner)
		} else if t.pace.came(owner, what == replacementReady, t.now) {
			c.Log.Info("evictions stopped: too many bad replacements", "injector", t.inj.Name, "until", t.pace.openUntil)
			c.Record(ofInjector(t.inj, EventStopped, fmt.Sprintf(
				"too many replacements of evicted pods came back without the sidecar they should have or didn't become ready, the last one "+
					"that of %s: %s; no pod is evicted until %s, or until the Injector changes", owner, what, t.pace.openUntil.UTC().Format(time.RFC3339))))
		}
	}
}

// What a replacement can be; "": it isn't known yet.
const (
	replacementReady   = "ready"
	replacementWithout = "without a sidecar"
	replacementStale   = "with an old sidecar" // of a replica that isn't ours: an upgrade, or an edit it hasn't seen
	replacementLate    = "not ready in time"
	replacementAbsent  = "missing"
	replacementNotOwed = "not owed any more" // which says nothing about sidecars
)

// judge says what became of an owner's replacement: of the pods that weren't there before, one will do. A newcomer that
// is still to be looked at is neither.
func (c *Controller) judge(ctx context.Context, t *turn, owner string, a *awaited) string {
	if namespace, _, _ := strings.Cut(owner, "/"); t.ends(namespace) {
		return replacementNotOwed
	}
	came, stayed := false, false
	for _, i := range t.owners[owner] {
		p := &t.pods[i]
		if p.DeletionTimestamp != nil {
			continue
		}
		if a.before[p.UID] {
			stayed = true
			continue
		}
		came = true
		switch {
		case t.states[i] == stateMissing:
			return replacementWithout
		case t.states[i] == stateStale:
			return replacementStale
		case t.states[i] != stateCandidate && c.isReady(ctx, t, p, a):
			return replacementReady
		}
	}
	what := late(t.now.After(a.deadline), came, stayed || len(a.before) == 1)
	if what == replacementAbsent && !stayed && c.released(ctx, a.maker) {
		return replacementNotOwed
	}
	return what
}

// released says whether nobody is to make a pod any more: of an owner with a single one, pods don't tell. What can't be
// found out doesn't count: an owner that lost its only pod and gets no other is what evictions have to stop for.
func (c *Controller) released(ctx context.Context, maker corev1.ObjectReference) bool {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(maker.GroupVersionKind())
	err := c.Live.Get(ctx, client.ObjectKey{Namespace: maker.Namespace, Name: maker.Name}, live)
	if err != nil {
		c.Log.V(1).Info("owner of an evicted pod not read", "kind", maker.Kind, "ns", maker.Namespace, "name", maker.Name, "error", err.Error())
		return apierrors.IsNotFound(err)
	}
	replicas, scales, err := unstructured.NestedInt64(live.Object, "spec", "replicas")
	return live.GetUID() != maker.UID || live.GetDeletionTimestamp() != nil || scales && err == nil && replicas == 0
}

// late is what a replacement is that isn't ready. Where none came and pods went that weren't evicted, the owner was
// deleted or scaled down.
func late(late, came, stayed bool) string {
	switch {
	case !late:
		return ""
	case came:
		return replacementLate
	case stayed:
		return replacementAbsent
	}
	return replacementNotOwed
}

// isReady asks once for every version of the pod.
func (c *Controller) isReady(ctx context.Context, t *turn, p *metav1.PartialObjectMetadata, a *awaited) bool {
	if a.seen == p.ResourceVersion {
		return false
	}
	whole := c.confirm.read(ctx, p)
	if whole == nil {
		return false
	}
	a.seen = p.ResourceVersion
	if !ready(whole) {
		return false
	}
	t.pace.ready[p.UID] = true
	return true
}

// ready is what the kubelet says of a pod.
func ready(whole *corev1.Pod) bool {
	return slices.ContainsFunc(whole.Status.Conditions, func(condition corev1.PodCondition) bool {
		return condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue
	})
}
