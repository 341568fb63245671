package servingcert

import (
	"context"
	"errors"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

// cutOff is a replica that serves and then can't read the API server any more.
func cutOff(t *testing.T) (w *world, c *Controller, back func()) {
	t.Helper()
	w = newWorld(t)
	c = w.replica("a")
	w.step(c)
	w.publish(c.Bundle())
	w.step(c)
	w.must(c.Ready(context.Background()))
	live := c.Live
	c.Live = interceptor.NewClient(w.api, interceptor.Funcs{
		Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
			return errors.New("connection refused")
		}})
	return w, c, func() { c.Live = live }
}

func TestReadyWhileTheAPIServerIsAway(t *testing.T) {
	w, c, _ := cutOff(t)
	for range 20 {
		w.now = w.now.Add(c.Times.Look)
		if err := c.Step(context.Background()); err == nil {
			t.Fatal("the Secret was read")
		}
		if err := c.Ready(context.Background()); err != nil {
			t.Fatalf("after %s: %v", w.now.Sub(start), err)
		}
	}
}

func TestUnreadyAfterASleepUntilALookSucceeds(t *testing.T) {
	w, c, back := cutOff(t)
	w.now = w.now.Add(c.Times.Stale + time.Second)
	if c.Ready(context.Background()) == nil {
		t.Error("ready by what it knew before it was stopped")
	}
	_ = c.Step(context.Background()) // fails
	if c.Ready(context.Background()) == nil {
		t.Error("ready though the look failed")
	}
	back()
	w.step(c)
	w.must(c.Ready(context.Background()))
}
