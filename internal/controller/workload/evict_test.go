package workload

import (
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject"
)

// evicting is an Injector that evicts for real.
func evicting(mode v1alpha1.EvictMode, perMinute int32) *v1alpha1.Injector {
	inj := injector("default")
	inj.Spec.Workload = v1alpha1.Workload{Evict: mode, DryRun: new(false), EvictionsPerMinute: perMinute}
	return inj
}

// evictionWorld has an owner for each name with one pod without a sidecar, old enough, that is replaced by one with.
func evictionWorld(t *testing.T, inj *v1alpha1.Injector, owners ...string) *world {
	t.Helper()
	w := newWorld(t, inj)
	w.replace = func(old *corev1.Pod) *corev1.Pod {
		return w.pod(old.Namespace, "ReplicaSet", old.OwnerReferences[0].Name, w.injected, nowReady)
	}
	for _, name := range owners {
		w.add(w.pod("on", "ReplicaSet", name))
		w.owner(name)
	}
	w.now = w.now.Add(minAge)
	return w
}

func TestAMissingSidecarIsEvictedAndTheNextPodWaitsForTheReplacement(t *testing.T) {
	w := evictionWorld(t, evicting(v1alpha1.EvictMissing, 60), "web", "web", "web")
	var replacement *corev1.Pod
	inner := w.replace
	w.replace = func(old *corev1.Pod) *corev1.Pod {
		replacement = inner(old)
		replacement.Status = corev1.PodStatus{}
		return replacement
	}
	w.pass(0)
	for range 5 {
		w.pass(time.Minute)
	}
	if want := []string{"web-1"}; !slices.Equal(w.posted, want) {
		t.Fatalf("evicted %q, want %q until its replacement is ready", w.posted, want)
	}
	w.makeReady(replacement)
	w.pass(time.Second)
	if want := []string{"web-1", "web-2"}; !slices.Equal(w.posted, want) {
		t.Fatalf("evicted %q, want %q at once after the replacement became ready", w.posted, want)
	}
	if w.evictions(resultEvicted) != 2 || !slices.Contains(w.reasons(), "SidecarEvicted ReplicaSet/web") {
		t.Errorf("metric %v, Events %q", w.evictions(resultEvicted), w.reasons())
	}
}

func (w *world) makeReady(p *corev1.Pod) {
	w.t.Helper()
	nowReady(p)
	w.must(w.api.Status().Update(w.t.Context(), p))
}

func TestDryRunSaysEachPodOnceAtTheSamePace(t *testing.T) {
	inj := evicting(v1alpha1.EvictMissing, 6)
	inj.Spec.Workload.DryRun = nil // the default
	w := evictionWorld(t, inj, "a", "b", "c")
	for i, want := range []float64{1, 1, 2, 2, 3, 3, 3} {
		w.pass(5 * time.Second)
		if got := w.evictions(resultDryRun); got != want {
			t.Fatalf("after %d looks %v evictions were said, want %v", i+1, got, want)
		}
	}
	if len(w.posted) != 0 || w.evictions(resultEvicted) != 0 {
		t.Errorf("a dry run evicted %q", w.posted)
	}
	if !slices.Contains(w.reasons(), "SidecarEvictionDryRun ReplicaSet/a") {
		t.Errorf("Events are %q", w.reasons())
	}
}

func TestEvictionsKeepTheRate(t *testing.T) {
	var owners []string
	for i := range 12 {
		owners = append(owners, fmt.Sprintf("web%d", i))
	}
	w := evictionWorld(t, evicting(v1alpha1.EvictMissing, 6), owners...)
	for i := range 30 {
		w.pass(2 * time.Second)
		if most := 1 + i*2/10; len(w.posted) > most {
			t.Fatalf("%d evictions after %d seconds, want %d at most", len(w.posted), 2*i, most)
		}
	}
	if len(w.posted) != 6 {
		t.Errorf("%d evictions in a minute, want 6", len(w.posted))
	}
}

func TestWhatIsNeverEvicted(t *testing.T) {
	plain := func(*world, *corev1.Pod) {}
	for _, c := range []struct {
		name   string
		mode   v1alpha1.EvictMode
		owner  string
		change func(*world, *corev1.Pod)
		age    time.Duration
		want   bool
	}{
		{"old enough", v1alpha1.EvictMissing, "ReplicaSet", plain, minAge, true},
		{"stale", v1alpha1.EvictMissingAndStale, "ReplicaSet", func(w *world, p *corev1.Pod) { w.injected(p); old(p) }, minAge, true},
		{"stale, but only missing ones are to go", v1alpha1.EvictMissing, "ReplicaSet", func(w *world, p *corev1.Pod) { w.injected(p); old(p) }, minAge, false},
		{"as it should be", v1alpha1.EvictMissingAndStale, "ReplicaSet", func(w *world, p *corev1.Pod) { w.injected(p) }, minAge, false},
		{"young", v1alpha1.EvictMissing, "ReplicaSet", plain, minAge - time.Second, false},
		{"nobody's", v1alpha1.EvictMissing, "", plain, minAge, false},
		{"a Job's", v1alpha1.EvictMissing, "Job", plain, minAge, false},
		{"kept", v1alpha1.EvictMissing, "ReplicaSet", func(_ *world, p *corev1.Pod) { p.Annotations[inject.AnnotationEvict] = "false" }, minAge, false},
		{"on the host's network", v1alpha1.EvictMissing, "ReplicaSet", func(_ *world, p *corev1.Pod) { hostNetwork(p) }, minAge, false},
		{"denied if made again", v1alpha1.EvictMissing, "ReplicaSet", func(_ *world, p *corev1.Pod) { refusedByAnnotation(p) }, minAge, false},
		{"stale, and denied if made again", v1alpha1.EvictMissingAndStale, "ReplicaSet", func(w *world, p *corev1.Pod) { w.injected(p); old(p); refusedByAnnotation(p) }, minAge, false},
		{"stale, and not asked for any more", v1alpha1.EvictMissingAndStale, "ReplicaSet", func(w *world, p *corev1.Pod) { w.injected(p); old(p); p.Namespace = "plain" }, minAge, false},
		{"in a system namespace", v1alpha1.EvictMissingAndStale, "ReplicaSet", func(w *world, p *corev1.Pod) { w.injected(p); old(p); p.Namespace = "kube-system" }, minAge, false},
		{"in the operator's namespace", v1alpha1.EvictMissingAndStale, "ReplicaSet", func(w *world, p *corev1.Pod) { w.injected(p); old(p); p.Namespace = "pillion-system" }, minAge, false},
		{"none at all is to go", v1alpha1.EvictNever, "ReplicaSet", plain, minAge, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, evicting(c.mode, 60))
			p := w.pod("on", c.owner, "web")
			c.change(w, p)
			w.add(p)
			w.pass(c.age)
			w.pass(time.Second / 2)
			if got := len(w.posted) > 0; got != c.want {
				t.Errorf("evicted: %q", w.posted)
			}
		})
	}
}

func TestOwnersInARolloutAreLeftAlone(t *testing.T) {
	w := evictionWorld(t, evicting(v1alpha1.EvictMissing, 60), "web")
	w.add(w.pod("on", "ReplicaSet", "web", w.injected))
	w.pass(0)
	w.pass(minAge - time.Second)
	if len(w.posted) != 0 {
		t.Fatalf("evicted %q beside a young pod: a rollout, or what the leader before evicted for", w.posted)
	}
	w.pass(time.Second)
	if len(w.posted) != 1 {
		t.Error("nothing evicted after the other pod grew old")
	}
}

func TestMissingOnesGoFirstThenTheOldest(t *testing.T) {
	w := evictionWorld(t, evicting(v1alpha1.EvictMissingAndStale, 60))
	w.add(w.pod("on", "ReplicaSet", "stale", w.injected, old))
	w.now = w.now.Add(time.Minute)
	w.add(w.pod("on", "ReplicaSet", "second"))
	w.now = w.now.Add(-time.Second)
	w.add(w.pod("on", "ReplicaSet", "first"))
	w.now = w.now.Add(minAge)
	for range 4 {
		w.pass(time.Second)
	}
	if want := []string{"first-3", "second-2", "stale-1"}; !slices.Equal(w.posted, want) {
		t.Errorf("evicted %q, want %q", w.posted, want)
	}
}

func budgetError() error {
	err := apierrors.NewTooManyRequests("Cannot evict pod as it would violate the pod's disruption budget.", 0)
	err.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: policyv1.DisruptionBudgetCause, Message: "The disruption budget web needs 1 healthy pods"}}
	return err
}

func TestRefusalsBackOff(t *testing.T) {
	for _, c := range []struct {
		name   string
		refuse error
		result result
		event  bool
	}{
		{"PodDisruptionBudget", budgetError(), resultBlocked, true},
		{"an API server with too much to do", apierrors.NewTooManyRequests("busy", 0), resultFailed, false},
		{"no permission", apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "web", nil), resultFailed, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := evictionWorld(t, evicting(v1alpha1.EvictMissing, 60), "web")
			w.refuse = c.refuse
			w.pass(0)
			for _, step := range []struct {
				wait time.Duration
				want int
			}{{29 * time.Second, 1}, {time.Second, 2}, {59 * time.Second, 2}, {time.Second, 3}, {2 * time.Minute, 4}, {4 * time.Minute, 5}, {8 * time.Minute, 6}, {9 * time.Minute, 6}, {time.Minute, 7}, {10 * time.Minute, 8}} {
				if w.pass(step.wait); len(w.posted) != step.want {
					t.Fatalf("%d tries after another %s, want %d", len(w.posted), step.wait, step.want)
				}
			}
			if w.evictions(c.result) != 8 || slices.Contains(w.reasons(), "SidecarEvictionBlocked ReplicaSet/web") != c.event {
				t.Errorf("metric %v, Events %q", w.evictions(c.result), w.reasons())
			}
		})
	}
}

func TestAPodThatChangedInBetweenIsTriedAgain(t *testing.T) {
	w := evictionWorld(t, evicting(v1alpha1.EvictMissing, 60), "web")
	w.refuse = apierrors.NewConflict(schema.GroupResource{Resource: "pods"}, "web", nil)
	w.pass(0)
	w.refuse = nil
	w.pass(time.Second)
	if len(w.posted) != 2 || w.evictions(resultEvicted) != 1 || w.evictions(resultFailed) != 0 {
		t.Errorf("%d tries, %v evicted, %v failed; want 2, 1, 0", len(w.posted), w.evictions(resultEvicted), w.evictions(resultFailed))
	}
}

func TestANewLeaderLeavesWhatTheOldOneBegan(t *testing.T) {
	w := evictionWorld(t, evicting(v1alpha1.EvictMissing, 60), "web", "web")
	inner := w.replace
	w.replace = func(old *corev1.Pod) *corev1.Pod {
		p := inner(old)
		p.Status = corev1.PodStatus{}
		return p
	}
	w.pass(0)
	w.restart()
	w.pass(time.Minute)
	if len(w.posted) != 1 {
		t.Errorf("the new leader evicted %q while the replacement was young", w.posted)
	}
}

func TestInjectorsThatAreGoneAreForgotten(t *testing.T) {
	w := evictionWorld(t, evicting(v1alpha1.EvictMissing, 60), "web")
	w.pass(0)
	w.set = setOf(t)
	w.pass(time.Second)
	if len(w.c.pacers)+len(w.c.held)+len(w.c.written)+len(w.c.counted) != 0 {
		t.Errorf("still known: %v %v %v %v", w.c.pacers, w.c.held, w.c.written, w.c.counted)
	}
}
