package webhook

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestLimitedIsAContextWithADeadline: whoever looks or waits sees what context.WithTimeout would show.
func TestLimitedIsAContextWithADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		outer := limit(t.Context(), 2*time.Second)
		defer outer.end()
		inner := limit(outer, time.Minute)
		defer inner.end()
		if at, ok := inner.Deadline(); !ok || time.Until(at) != 2*time.Second {
			t.Errorf("the deadline is in %v, want the earlier one's 2s", time.Until(at))
		}
		if inner.Err() != nil {
			t.Errorf("before the deadline: %v", inner.Err())
		}
		start := time.Now()
		<-inner.Done()
		if waited := time.Since(start); waited != 2*time.Second {
			t.Errorf("waited %v, want 2s", waited)
		}
		for _, l := range []*limited{inner, outer} {
			if !errors.Is(l.Err(), context.DeadlineExceeded) {
				t.Errorf("after the deadline: %v", l.Err())
			}
		}
	})
}

// TestLimitedEndsWithTheRequest: a caller that goes away ends what is done for it, and an end leaves no timer behind.
func TestLimitedEndsWithTheRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		request, hangUp := context.WithCancel(t.Context())
		waited, unasked := limit(request, time.Minute), limit(request, time.Minute)
		done := waited.Done()
		hangUp()
		<-done
		unasked.end()
		<-unasked.Done()
		for _, l := range []*limited{waited, unasked} {
			if !errors.Is(l.Err(), context.Canceled) {
				t.Errorf("Err = %v, want the request's", l.Err())
			}
			l.end()
		}
		ended := limit(t.Context(), time.Minute)
		done = ended.Done()
		ended.end()
		<-done
	})
}

// TestAContextMadeOfALimitedOne outlives the request: a call that nobody waits for any more ends, and nothing panics.
func TestAContextMadeOfALimitedOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := limit(t.Context(), time.Minute)
		child, cancel := context.WithTimeout(l, time.Hour)
		defer cancel()
		l.end()
		<-child.Done()
		if !errors.Is(child.Err(), context.Canceled) || !errors.Is(l.Err(), context.Canceled) {
			t.Errorf("the child ended with %v, its parent with %v; want canceled", child.Err(), l.Err())
		}
	})
}
