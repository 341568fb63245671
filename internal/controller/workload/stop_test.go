package workload

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
)

// TestEvictionsStopAfterBadReplacements: bad is what stays without a sidecar, never becomes ready, or never comes.
func TestEvictionsStopAfterBadReplacements(t *testing.T) {
	var owners []string
	for i := range 12 {
		owners = append(owners, fmt.Sprintf("web%02d", i))
	}
	for name, replace := range map[string]func(*world, *corev1.Pod) *corev1.Pod{
		"without a sidecar": func(w *world, old *corev1.Pod) *corev1.Pod {
			return w.pod("on", "ReplicaSet", old.OwnerReferences[0].Name, nowReady)
		},
		"never ready": func(w *world, old *corev1.Pod) *corev1.Pod {
			return w.pod("on", "ReplicaSet", old.OwnerReferences[0].Name, w.injected)
		},
		"with an old sidecar": func(w *world, before *corev1.Pod) *corev1.Pod {
			return w.pod("on", "ReplicaSet", before.OwnerReferences[0].Name, w.injected, old, nowReady)
		},
		"elsewhere": func(w *world, old *corev1.Pod) *corev1.Pod { return w.pod("plain", "ReplicaSet", "another", nowReady) },
	} {
		t.Run(name, func(t *testing.T) {
			w := evictionWorld(t, evicting(v1alpha1.EvictMissing, 5), owners...)
			w.replace = func(old *corev1.Pod) *corev1.Pod { return replace(w, old) }
			for range 60 {
				w.pass(time.Minute)
				if slices.Contains(w.reasons(), "SidecarEvictionStopped Injector/default") {
					break
				}
			}
			w.pass(circuitOpen - time.Second)
			if len(w.posted) != 5 {
				t.Fatalf("%d evictions, want the end after 5; Events %q", len(w.posted), w.reasons())
			}
			w.updateInjector(func(inj *v1alpha1.Injector) { inj.Generation++ })
			w.pass(time.Second)
			if len(w.posted) <= 5 {
				t.Error("nothing is evicted although the Injector changed")
			}
		})
	}
}

// updateInjector changes it and keeps its conditions up to date.
func (w *world) updateInjector(change func(*v1alpha1.Injector)) {
	w.t.Helper()
	inj := &v1alpha1.Injector{}
	w.must(w.api.Get(w.t.Context(), objectKey("default"), inj))
	change(inj)
	w.must(w.api.Update(w.t.Context(), inj.DeepCopy()))
	w.must(w.api.Get(w.t.Context(), objectKey("default"), inj))
	for i := range inj.Status.Conditions {
		inj.Status.Conditions[i].ObservedGeneration = inj.Generation
	}
	w.must(w.api.Status().Update(w.t.Context(), inj))
}

func TestNothingIsEvictedUntilInjectionWorks(t *testing.T) {
	set := func(kind string, status metav1.ConditionStatus, generation int64) func(*v1alpha1.Injector) {
		return func(inj *v1alpha1.Injector) {
			meta.SetStatusCondition(&inj.Status.Conditions, metav1.Condition{Type: kind, Status: status, Reason: "Test", ObservedGeneration: generation})
		}
	}
	for name, change := range map[string]func(*v1alpha1.Injector){
		"webhooks aren't ready":        set(v1alpha1.ConditionWebhooksReady, metav1.ConditionFalse, 1),
		"webhooks are an older spec's": set(v1alpha1.ConditionWebhooksReady, metav1.ConditionTrue, 0),
		"certificates aren't ready":    set(v1alpha1.ConditionCertificatesReady, metav1.ConditionFalse, 1),
		"templates aren't ready":       set(v1alpha1.ConditionTemplatesReady, metav1.ConditionFalse, 1),
		"nothing is known":             func(inj *v1alpha1.Injector) { inj.Status.Conditions = nil },
		"it is degraded":               set(v1alpha1.ConditionDegraded, metav1.ConditionTrue, 1),
	} {
		t.Run(name, func(t *testing.T) {
			w := evictionWorld(t, evicting(v1alpha1.EvictMissing, 60), "web")
			good := &v1alpha1.Injector{}
			w.must(w.api.Get(t.Context(), objectKey("default"), good))
			bad := good.DeepCopy()
			change(bad)
			w.must(w.api.Status().Update(t.Context(), bad))
			w.pass(0)
			w.pass(time.Minute)
			if len(w.posted) != 0 {
				t.Fatalf("evicted %q", w.posted)
			}
			w.must(w.api.Get(t.Context(), objectKey("default"), bad))
			bad.Status.Conditions = good.Status.Conditions
			w.must(w.api.Status().Update(t.Context(), bad))
			w.pass(time.Second)
			if len(w.posted) != 1 {
				t.Error("nothing is evicted although injection works again")
			}
		})
	}
}

// TestAReplacementOfAnotherVersionIsNotEvictedAgain has the leader want another sidecar than the webhook gives, as in an
// upgrade of the operator.
func TestAReplacementOfAnotherVersionIsNotEvictedAgain(t *testing.T) {
	w := evictionWorld(t, evicting(v1alpha1.EvictMissingAndStale, 6))
	w.replace = func(before *corev1.Pod) *corev1.Pod {
		return w.pod("on", "ReplicaSet", before.OwnerReferences[0].Name, w.injected, old, nowReady)
	}
	for _, name := range []string{"a", "b", "c", "d"} {
		w.add(w.pod("on", "ReplicaSet", name, w.injected, old, nowReady))
	}
	for range 6 * 50 {
		w.pass(10 * time.Second)
	}
	if len(w.posted) != 4 {
		t.Errorf("evicted %q in 50 minutes, want each owner's pod once", w.posted)
	}
}

func TestALeaderThatCrashesEvictsNothing(t *testing.T) {
	w := evictionWorld(t, evicting(v1alpha1.EvictMissing, 60), "a", "b", "c", "d")
	w.replace, w.hold = nil, 0 // the default
	for range 10 {
		w.restart()
		w.pass(0)
		w.pass(holdFirst - time.Second)
	}
	if len(w.posted) != 0 {
		t.Fatalf("evicted %q", w.posted)
	}
	for range 5 {
		w.pass(time.Second)
	}
	if len(w.posted) != 1 {
		t.Errorf("a leader that stays evicted %q, want one pod until its replacement is ready", w.posted)
	}
}

func TestOwnersThatOweNothingSayNothingAboutSidecars(t *testing.T) {
	for name, end := range map[string]func(*world){
		"namespaces end": func(w *world) {
			ns := &corev1.Namespace{}
			w.must(w.api.Get(t.Context(), objectKey("on"), ns))
			ns.Finalizers = []string{"test/wait"}
			w.must(w.api.Update(t.Context(), ns))
			w.must(w.api.Delete(t.Context(), ns))
		},
		"namespaces are gone": func(w *world) {
			w.must(w.api.Delete(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "on"}}))
		},
		"all other pods went too": func(w *world) {
			w.must(w.api.DeleteAllOf(t.Context(), &corev1.Pod{}, client.InNamespace("on")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := evictionWorld(t, evicting(v1alpha1.EvictMissing, 60), "a", "a")
			w.replace = nil
			w.pass(0)
			end(w)
			w.pass(replacementPatience + time.Second)
			if pace := w.c.pacers["uid-default"]; len(w.posted) != 1 || len(pace.awaited) != 0 || len(pace.outcomes) != 0 {
				t.Errorf("evicted %q; awaited %v, outcomes %v: want neither", w.posted, pace.awaited, pace.outcomes)
			}
		})
	}
}

// TestAnOwnerOfOnePodIsAskedWhetherItWantsAnother: that none came may mean that it is gone, or that none can be made.
func TestAnOwnerOfOnePodIsAskedWhetherItWantsAnother(t *testing.T) {
	set := &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Namespace: "on", Name: "a"}}
	for name, row := range map[string]struct {
		change func(*world)
		bad    int
	}{
		"it is deleted": {func(w *world) { w.must(w.api.Delete(t.Context(), set.DeepCopy())) }, 0},
		"it is scaled to nothing": {func(w *world) {
			w.must(w.api.Patch(t.Context(), set.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(`{"spec":{"replicas":0}}`))))
		}, 0},
		"another has its name": {func(w *world) {
			w.must(w.api.Delete(t.Context(), set.DeepCopy()))
			other := set.DeepCopy()
			other.UID, other.Spec.Replicas = "other", new(int32(1))
			w.must(w.api.Create(t.Context(), other))
		}, 0},
		"it wants one":             {func(*world) {}, 1},
		"nobody can tell":          {func(w *world) { w.closed = errors.New("forbidden") }, 1},
		"nobody can tell of what?": {func(w *world) { w.closed = &meta.NoKindMatchError{} }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := evictionWorld(t, evicting(v1alpha1.EvictMissing, 60), "a")
			w.replace = nil
			w.pass(0)
			row.change(w)
			w.pass(replacementPatience + time.Second)
			if pace := w.c.pacers["uid-default"]; len(w.posted) != 1 || len(pace.awaited) != 0 || pace.bad() != row.bad {
				t.Errorf("evicted %q; awaited %v, %d bad replacements, want %d", w.posted, pace.awaited, pace.bad(), row.bad)
			}
		})
	}
}

func TestNothingIsEvictedWhileNobodyAnswers(t *testing.T) {
	w := evictionWorld(t, evicting(v1alpha1.EvictMissing, 60), "a")
	slice := &discoveryv1.EndpointSlice{}
	w.must(w.api.Get(t.Context(), client.ObjectKey{Namespace: operator.Namespace, Name: "pillion-1"}, slice))
	slice.Endpoints[0].Conditions.Ready = new(false)
	w.must(w.api.Update(t.Context(), slice))
	if w.pass(0); len(w.posted) != 0 {
		t.Fatalf("evicted %q though the operator's Service has no ready endpoint", w.posted)
	}
	slice.Endpoints[0].Conditions.Ready = new(true)
	w.must(w.api.Update(t.Context(), slice))
	if w.pass(time.Second); len(w.posted) != 1 {
		t.Error("nothing is evicted although the operator's Service has a ready endpoint again")
	}
}

func TestEvictionsWaitForTheirWindow(t *testing.T) {
	inj := evicting(v1alpha1.EvictMissing, 60)
	inj.Spec.Workload.MaintenanceWindows = []v1alpha1.MaintenanceWindow{{Start: "13:00", End: "14:00", TimeZone: "UTC"}}
	w := evictionWorld(t, inj, "web", "api")
	w.pass(57 * time.Minute)
	if len(w.posted) != 0 {
		t.Fatalf("evicted %q at %s", w.posted, w.now)
	}
	if w.pass(time.Minute); len(w.posted) != 1 {
		t.Fatalf("nothing evicted at %s", w.now)
	}
	if w.pass(time.Hour); len(w.posted) != 1 {
		t.Fatalf("evicted %q at %s", w.posted, w.now)
	}
}
