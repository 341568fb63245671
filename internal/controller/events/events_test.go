package events

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"
	clienttesting "k8s.io/client-go/testing"
)

func object(name string) corev1.ObjectReference {
	return corev1.ObjectReference{APIVersion: "apps/v1", Kind: "ReplicaSet", Namespace: "shop", Name: name}
}

// written runs the recorder until it has written all that is queued.
func written(t *testing.T, client *fake.Clientset, r *Recorder) []corev1.Event {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	r.Run(ctx)
	list, err := client.CoreV1().Events("").List(context.Background(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return list.Items
}

// newRecorder's fake API server names objects as the real one does.
func newRecorder(now *time.Time) (*fake.Clientset, *Recorder) {
	client, n := fake.NewClientset(), 0
	client.PrependReactor("create", "events", func(a clienttesting.Action) (bool, runtime.Object, error) {
		n++
		a.(clienttesting.CreateAction).GetObject().(*corev1.Event).Name = fmt.Sprint("event-", n)
		return false, nil, nil
	})
	r, err := New(client, "pillion-0", logr.Discard(), func() time.Time { return *now }, prometheus.NewRegistry())
	if err != nil {
		panic(err) // only if a metric's name is taken
	}
	r.last = time.Minute // the fake is slow
	return client, r
}

func TestSameReasonIsToldOnceInTenMinutes(t *testing.T) {
	now := time.Unix(1000, 0)
	client, r := newRecorder(&now)
	for _, step := range []struct {
		event Event
		after time.Duration
		want  int
	}{
		{Event{Object: object("a"), Reason: "SidecarDenied"}, 0, 1},
		{Event{Object: object("a"), Reason: "SidecarDenied"}, 9 * time.Minute, 1},
		{Event{Object: object("a"), Reason: "SidecarSkipped"}, 0, 2},
		{Event{Object: object("b"), Reason: "SidecarDenied"}, 0, 3},
		{Event{Object: object("a"), Reason: "SidecarDenied"}, time.Minute, 4},
		{Event{Object: object("a"), Reason: "SidecarDenied", Always: true}, 0, 5},
	} {
		now = now.Add(step.after)
		r.Record(step.event)
		if got := len(written(t, client, r)); got != step.want {
			t.Fatalf("after %s on %s: %d events, want %d", step.event.Reason, step.event.Object.Name, got, step.want)
		}
	}
}

func TestEventOfAClusterScopedObject(t *testing.T) {
	now := time.Unix(1000, 0)
	client, r := newRecorder(&now)
	r.Record(Event{Object: corev1.ObjectReference{Kind: "Injector", Name: "default"}, Type: "Warning", Reason: "X", Message: strings.Repeat("m", 2000)})
	all := written(t, client, r)
	if len(all) != 1 || all[0].Namespace != "default" || len(all[0].Message) != maxMessage || all[0].Type != "Warning" || all[0].ReportingInstance != "pillion-0" {
		t.Errorf("%+v", all)
	}
}

func TestFullQueueNeverBlocks(t *testing.T) {
	now := time.Unix(1000, 0)
	client, r := newRecorder(&now)
	for n := range queueSize + 50 {
		r.Record(Event{Object: object(fmt.Sprint("o", n)), Reason: "X"})
	}
	if got := len(written(t, client, r)); got != queueSize {
		t.Errorf("%d events, want the %d that fit", got, queueSize)
	}
	if lost := testutil.ToFloat64(r.lost.WithLabelValues(lostQueue)); lost != 50 {
		t.Errorf("the metric counts %v lost ones, want 50", lost)
	}
	r.Record(Event{Object: object(fmt.Sprint("o", queueSize)), Reason: "X"}) // one that had no place before
	if got := len(written(t, client, r)); got != queueSize+1 {
		t.Error("a reason that was dropped counts as told")
	}
}

// TestEndIsNotHeldUpByAnAPIServerThatIsAway has a queue full of Events and a server that never answers.
func TestEndIsNotHeldUpByAnAPIServerThatIsAway(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer server.Close()
	defer close(release)
	client, err := kubernetes.NewForConfig(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	r, err := New(client, "pillion-0", logr.Discard(), time.Now, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	r.last = 20 * time.Millisecond
	for n := range queueSize {
		r.Record(Event{Object: object(fmt.Sprint("o", n)), Reason: "X"})
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	ended := make(chan struct{})
	go func() { r.Run(ctx); close(ended) }()
	select {
	case <-ended:
	case <-time.After(30 * time.Second): // 256 times the time of one write is 21 minutes
		t.Fatal("Run is still writing")
	}
	if lost := testutil.ToFloat64(r.lost.WithLabelValues(lostEnding)) + testutil.ToFloat64(r.lost.WithLabelValues(lostWrite)); lost != queueSize {
		t.Errorf("the metric counts %v lost ones, want %d", lost, queueSize)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	now := time.Unix(1000, 0)
	_, r := newRecorder(&now)
	for n := range 3 * maxKnown {
		r.remember(Event{Object: object(fmt.Sprint("o", n)), Reason: "X"}, now)
	}
	if len(r.told) > maxKnown {
		t.Errorf("%d remembered", len(r.told))
	}
}

func TestRefusedEventIsLeft(t *testing.T) {
	now := time.Unix(1000, 0)
	client, r := newRecorder(&now)
	client.PrependReactor("create", "events", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, errors.New("namespace is being deleted")
	})
	r.Record(Event{Object: object("a"), Reason: "X"})
	if got := written(t, client, r); len(got) != 0 || testutil.ToFloat64(r.lost.WithLabelValues(lostWrite)) != 1 {
		t.Errorf("%+v", got)
	}
}
