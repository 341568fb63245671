package operatortest

import (
	"context"
	"testing"
	"time"
)

// patience is how long what must happen may take on a machine that has much else to do.
const patience = 90 * time.Second

// Eventually polls until test succeeds, as long as patience.
func (e *Env) Eventually(what string, test func() error) {
	e.T.Helper()
	e.Within(patience, what, test)
}

// Within polls until test succeeds; after limit the test has failed.
func (e *Env) Within(limit time.Duration, what string, test func() error) {
	e.T.Helper()
	deadline := time.Now().Add(limit)
	for {
		err := test()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			e.T.Fatalf("waited %s until %s: %v", limit, what, err)
		}
		select {
		case <-e.T.Context().Done():
			e.T.Fatal(e.T.Context().Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Ctx ends with the test, before its cleanup.
func (e *Env) Ctx() context.Context { return e.T.Context() }

// Must ends the test if err isn't nil.
func Must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
