package events

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
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
	return client, New(client, "pillion-0", logr.Discard(), func() time.Time { return *now })
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
}

func TestMemoryIsBounded(t *testing.T) {
	now := time.Unix(1000, 0)
	_, r := newRecorder(&now)
	for n := range 3 * maxKnown {
		r.first(Event{Object: object(fmt.Sprint("o", n)), Reason: "X"})
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
	if got := written(t, client, r); len(got) != 0 {
		t.Errorf("%+v", got)
	}
}
