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
		w.pass(c.Times.Look, c)
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
	w.now = w.now.Add(c.Times.Nap + time.Second)
	if c.Ready(context.Background()) == nil {
		t.Error("ready by what it knew before it was stopped")
	}
	_ = c.Step(context.Background()) // fails
	if c.Ready(context.Background()) == nil {
		t.Error("ready though the look failed")
	}
	if c.Bundle() != nil {
		t.Error("what was known before the sleep is to be written")
	}
	back()
	told := 0
	c.Changed = func() { told++ }
	w.step(c)
	w.must(c.Ready(context.Background()))
	if c.Bundle() == nil || told != 1 {
		t.Errorf("after a look there's a bundle again: %t; whoever writes it was told %d times", c.Bundle() != nil, told)
	}
}

// TestUnreadyAfterASleepThroughARotation: a nap is too short for any dwell time to have run out but those of a rotation
// away from a compromised CA, and the one who slept must not count on having been ready before.
func TestUnreadyAfterASleepThroughARotation(t *testing.T) {
	w := newWorld(t)
	a, b := w.replica("a"), w.replica("b")
	w.step(a, b)
	w.publish(a.Bundle())
	w.step(a, b)
	w.must(b.Ready(context.Background()))
	other := newWorld(t).replica("a") // of another installation: its CA is all that API servers trust now
	w.must(other.Step(context.Background()))
	w.publish(other.Bundle())
	w.leader = "nobody"
	w.pass(time.Second, b)
	if err := b.Ready(context.Background()); err != nil {
		t.Fatalf("who is awake has patience with a bundle that doesn't verify its leaf: %v", err)
	}
	w.now = w.now.Add(b.Times.Nap + time.Second)
	b.awake() // a call
	if b.Ready(context.Background()) == nil {
		t.Error("ready with a leaf that nobody trusts, after a sleep")
	}
}

// pass lets time pass for replicas that run.
func (w *world) pass(d time.Duration, replicas ...*Controller) {
	for range d / time.Second {
		w.now = w.now.Add(time.Second)
		for _, c := range replicas {
			c.slept()
		}
	}
}
