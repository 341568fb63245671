package workload

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// await looks what became of the pods that were evicted.
func (c *Controller) await(ctx context.Context, t *turn) {
	for _, owner := range slices.Sorted(maps.Keys(t.pace.awaited)) {
		what := c.judge(ctx, t, owner, t.pace.awaited[owner])
		if what == "" {
			continue
		}
		good := what == replacementReady
		c.Log.Info("replacement", "injector", t.inj.Name, "owner", owner, "is", what)
		if t.pace.came(owner, good, t.now) {
			c.Log.Info("evictions stopped: too many bad replacements", "injector", t.inj.Name, "until", t.pace.openUntil)
			c.Record(ofInjector(t.inj, EventStopped, fmt.Sprintf(
				"%d of the last %d replacements of evicted pods came back without a sidecar or didn't become ready, the last one that of %s: %s; "+
					"no pod is evicted until %s, or until the Injector changes",
				outcomesBad, outcomesKept, owner, what, t.pace.openUntil.UTC().Format(time.RFC3339))))
		}
	}
}

// What a replacement can be; "": it isn't known yet.
const (
	replacementReady   = "ready"
	replacementWithout = "without a sidecar"
	replacementLate    = "not ready in time"
	replacementAbsent  = "missing"
)

// judge says what became of an owner's replacement: of the pods that weren't there before, one will do. A newcomer that
// is still to be looked at is neither.
func (c *Controller) judge(ctx context.Context, t *turn, owner string, a *awaited) string {
	came := false
	for _, i := range t.owners[owner] {
		p := &t.pods[i]
		if p.DeletionTimestamp != nil || a.before[p.UID] {
			continue
		}
		came = true
		if t.states[i] == stateMissing {
			return replacementWithout
		}
		if t.states[i] != stateCandidate && c.isReady(ctx, t, p, a) {
			return replacementReady
		}
	}
	switch late := t.now.After(a.deadline); {
	case late && came:
		return replacementLate
	case late:
		return replacementAbsent
	}
	return ""
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
	for _, condition := range whole.Status.Conditions {
		if condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue {
			t.pace.ready[p.UID] = true
			return true
		}
	}
	return false
}
