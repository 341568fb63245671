package workload

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/istio"
)

func hostNetwork(p *corev1.Pod) { p.Spec.HostNetwork = true }

func asks(p *corev1.Pod) { p.Labels[istio.LabelInject] = "true" }

func refusedByAnnotation(p *corev1.Pod) {
	p.Annotations[istio.AnnotationExcludeOutboundPorts] = "many"
}

func TestPodsAreCountedAndTold(t *testing.T) {
	w := newWorld(t, injector("default"))
	w.add(w.pod("on", "ReplicaSet", "good", w.injected))
	w.add(w.pod("on", "ReplicaSet", "old", w.injected, old))
	w.add(w.pod("on", "ReplicaSet", "none"))
	w.add(w.pod("on", "ReplicaSet", "denied", refusedByAnnotation))
	w.add(w.pod("on", "", "bare"))
	w.add(w.pod("on", "DaemonSet", "node", hostNetwork))
	w.add(w.pod("plain", "DaemonSet", "own", asks, hostNetwork))
	w.add(w.pod("plain", "ReplicaSet", "other"))
	w.pass(0)
	got := w.status("default")
	if got == nil || got.Injected != 2 || got.Stale != 1 || got.Missing != 3 {
		t.Fatalf("status.pods is %+v, want 2 injected, of these 1 stale, and 3 missing", got)
	}
	if len(got.Namespaces) != 1 || got.Namespaces[0] != (v1alpha1.NamespacePodCounts{Name: "on", Injected: 2, Stale: 1, Missing: 3}) {
		t.Errorf("by namespace: %+v", got.Namespaces)
	}
	for state, want := range map[state]float64{stateInjected: 2, stateStale: 1, stateMissing: 3} {
		if n := testutil.ToFloat64(w.c.metrics.pods.WithLabelValues("default", string(state))); n != want {
			t.Errorf("metric of %s pods is %v, want %v", state, n, want)
		}
	}
	want := []string{"SidecarMissing Pod/bare-5", "SidecarMissing ReplicaSet/denied", "SidecarMissing ReplicaSet/none", "SidecarSkipped DaemonSet/node", "SidecarSkipped DaemonSet/own", "SidecarStale ReplicaSet/old"}
	if got := w.reasons(); !slices.Equal(got, want) {
		t.Errorf("Events are %q, want %q", got, want)
	}
	for _, e := range w.told {
		for name, text := range map[string]string{"denied": "would be denied", "none": `namespace "on" is labelled`, "old": `its hash is "0123456789ab"`, "node": "host-network:"} {
			if e.Object.Name == name && !strings.Contains(e.Message, text) {
				t.Errorf("the Event on %s doesn't say %q: %s", name, text, e.Message)
			}
		}
	}
	w.told = nil
	w.pass(30 * time.Minute)
	if len(w.told) != 0 {
		t.Errorf("told again within the hour: %q", w.reasons())
	}
	w.pass(31 * time.Minute)
	if got := w.reasons(); !slices.Equal(got, want) {
		t.Errorf("after an hour Events are %q, want all again", got)
	}
}

func TestOnePodStandsForItsTemplate(t *testing.T) {
	w := newWorld(t, injector("default"))
	for range 50 {
		w.add(w.pod("on", "ReplicaSet", "web"))
	}
	w.pass(0)
	if got := w.status("default"); got.Missing != 50 || w.gets != 1 {
		t.Errorf("%d pods missing after %d reads, want 50 after one", got.Missing, w.gets)
	}
	w.pass(answerLife + time.Second)
	if w.gets != 2 {
		t.Errorf("%d reads after the answer grew old, want 2", w.gets)
	}
}

func TestReadsAreBoundedAndCountsWaitForThem(t *testing.T) {
	w := newWorld(t, injector("default"))
	for i := range 3 * asksPerLook {
		w.add(w.pod("on", "ReplicaSet", fmt.Sprintf("web%d", i)))
	}
	for look := 1; look <= 3; look++ {
		w.pass(lookEvery)
		if w.gets != look*asksPerLook {
			t.Fatalf("%d reads after %d looks, want %d a look", w.gets, look, asksPerLook)
		}
		if got := w.status("default"); (got == nil) != (look < 3) {
			t.Fatalf("after %d looks status.pods is %+v; half of the pods aren't known yet", look, got)
		}
	}
	if got := w.status("default"); got.Missing != 3*asksPerLook {
		t.Errorf("%d missing, want %d", got.Missing, 3*asksPerLook)
	}
	w.set = setOf(t, "edited")
	w.pass(writeEvery)
	if got := w.status("default"); got.Missing != 3*asksPerLook || w.gets != 4*asksPerLook {
		t.Errorf("after an edit %d missing and %d reads; want what was known to count until it is read again", got.Missing, w.gets)
	}
}

func TestPodsThatCannotBeRead(t *testing.T) {
	w := newWorld(t, injector("default"))
	w.add(w.pod("on", "ReplicaSet", "web"))
	w.add(w.pod("on", "ReplicaSet", "api"))
	w.add(w.pod("on", "ReplicaSet", "good", w.injected))
	w.unread = errors.New("forbidden")
	if _, err := w.c.Look(context.Background()); !errors.Is(err, w.unread) || w.gets != 1 {
		t.Errorf("after %d reads: %v; want one read and its error", w.gets, err)
	}
	w.now = w.now.Add(firstLooks)
	_, _ = w.c.Look(context.Background())
	if got := w.status("default"); got == nil || got.Injected != 1 || got.Missing != 0 {
		t.Errorf("status.pods is %+v; want what is known after a while", got)
	}
}

func TestStatusIsWrittenOnceInAWhileAndOnlyIfItChanged(t *testing.T) {
	w := newWorld(t, injector("default"))
	w.pass(0)
	if got := w.status("default"); got == nil || got.Injected != 0 {
		t.Fatalf("without pods status.pods is %+v, want zeros", got)
	}
	w.add(w.pod("on", "ReplicaSet", "web", w.injected))
	w.pass(writeEvery - time.Second)
	if got := w.status("default"); got.Injected != 0 {
		t.Error("the status was written twice within ten seconds")
	}
	w.pass(time.Second)
	if got := w.status("default"); got.Injected != 1 {
		t.Errorf("status.pods is %+v after ten seconds", got)
	}
	inj := &v1alpha1.Injector{}
	w.must(w.api.Get(context.Background(), objectKey("default"), inj))
	for range 5 {
		w.pass(writeEvery)
	}
	again := &v1alpha1.Injector{}
	w.must(w.api.Get(context.Background(), objectKey("default"), again))
	if again.ResourceVersion != inj.ResourceVersion {
		t.Error("the status was written though nothing changed")
	}
	if len(again.Status.Conditions) != len(needed) {
		t.Errorf("the rest of the status is gone: %+v", again.Status)
	}
	w.set = setOf(t)
	w.pass(writeEvery)
	if n := testutil.CollectAndCount(w.c.metrics.pods); n != 0 {
		t.Errorf("%d metrics of an Injector that is gone", n)
	}
}

func TestANewHashMakesPodsStale(t *testing.T) {
	w := newWorld(t, injector("default"))
	w.add(w.pod("on", "ReplicaSet", "web", w.injected))
	w.pass(0)
	if got := w.status("default"); got.Stale != 0 {
		t.Fatalf("%d stale at first", got.Stale)
	}
	w.set = setOf(t, "edited")
	w.pass(writeEvery)
	if got := w.status("default"); got.Stale != 1 || got.Injected != 1 {
		t.Errorf("status.pods is %+v, want the pod stale and still injected", got)
	}
}

func TestEventsAreBoundedInOneLook(t *testing.T) {
	w := newWorld(t, injector("default"))
	for i := range 2*tellPerLook + 5 {
		w.add(w.pod("on", "ReplicaSet", fmt.Sprintf("web%d", i), w.injected, old))
	}
	for i, want := range []int{tellPerLook, 2 * tellPerLook, 2*tellPerLook + 5, 2*tellPerLook + 5} {
		w.pass(lookEvery)
		if len(w.told) != want {
			t.Errorf("%d Events after %d looks, want %d", len(w.told), i+1, want)
		}
	}
}
