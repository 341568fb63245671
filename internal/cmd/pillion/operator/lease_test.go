package operator

import (
	"context"
	"errors"
	"testing"
	"time"

	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// lock answers every write with err.
type lock struct {
	resourcelock.Interface
	err error
}

func (l *lock) Identity() string { return "a" }

func (l *lock) Create(context.Context, resourcelock.LeaderElectionRecord) error { return l.err }

func (l *lock) Update(context.Context, resourcelock.LeaderElectionRecord) error { return l.err }

func TestLeaseIsHeldWhileItIsRenewed(t *testing.T) {
	now, inner := time.Unix(0, 0), &lock{}
	l := &lease{Interface: inner, now: func() time.Time { return now }}
	write := func(holder string, err error) {
		t.Helper()
		inner.err = err
		if got := l.Update(t.Context(), resourcelock.LeaderElectionRecord{HolderIdentity: holder}); !errors.Is(got, err) {
			t.Fatalf("got %v, want %v", got, err)
		}
	}
	held := func(want bool, when string) {
		t.Helper()
		if l.held() != want {
			t.Errorf("%s: held is %t", when, !want)
		}
	}
	held(false, "never renewed")
	if err := l.Create(t.Context(), resourcelock.LeaderElectionRecord{HolderIdentity: "a"}); err != nil {
		t.Fatal(err)
	}
	held(true, "created")
	now = now.Add(unsure + time.Second) // this process was stopped
	held(false, "after a sleep")
	write("a", errors.New("another holds it"))
	held(false, "a write failed")
	write("a", nil)
	held(true, "renewed")
	write("", nil)
	held(false, "released")
}
