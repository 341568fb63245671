package operatortest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Creations is a client that goes on making pods and keeps what becomes of them.
type Creations struct {
	env  *Env
	stop context.CancelFunc
	wait sync.WaitGroup

	mu       sync.Mutex
	tried    int
	failures []Failure
}

// Failure is a creation that was refused, or came without a sidecar.
type Failure struct {
	Began, Ended time.Time
	Err          error
}

// atOnce creations are under way at most: a machine that is slow isn't to be buried.
const atOnce = 16

// KeepCreating makes pods in a meshed namespace, for show only, 50 a second if it can. The returned function waits for some more,
// ends it, and fails the test if more than allowed creations were refused or came without a sidecar.
func (e *Env) KeepCreating(namespace string) (stop func(allowed int)) {
	e.T.Helper()
	c := e.StartCreating(namespace)
	return func(allowed int) {
		e.T.Helper()
		if failed := c.Stop(); len(failed) > allowed {
			e.T.Errorf("%d of %d creations failed, at most %d may: %v", len(failed), c.tried, allowed, failed[:min(5, len(failed))])
		}
	}
}

// StartCreating is KeepCreating for tests that judge failures themselves.
func (e *Env) StartCreating(namespace string) *Creations {
	e.T.Helper()
	e.Injected(namespace)
	ctx, cancel := context.WithCancel(e.Ctx())
	c := &Creations{env: e, stop: cancel}
	c.wait.Go(func() { c.run(ctx, namespace) })
	return c
}

func (c *Creations) run(ctx context.Context, namespace string) {
	ticker, free := time.NewTicker(20*time.Millisecond), make(chan struct{}, atOnce)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		select {
		case free <- struct{}{}:
			c.wait.Go(func() {
				began := time.Now()
				c.note(began, c.env.tryPod(namespace))
				<-free
			})
		default:
		}
	}
}

// More waits until some more creations have ended: what happened last must show.
func (c *Creations) More() {
	c.env.T.Helper()
	const some = 25
	enough := c.count() + some
	c.env.Eventually("some more pods are created", func() error {
		if n := c.count(); n < enough {
			return fmt.Errorf("%d of %d", n, enough)
		}
		return nil
	})
}

// Stop waits for some more, ends it and returns what failed.
func (c *Creations) Stop() []Failure {
	c.env.T.Helper()
	c.More()
	c.stop()
	c.wait.Wait()
	c.env.T.Logf("%d pods, %d failures", c.tried, len(c.failures))
	return c.failures
}

func (e *Env) tryPod(namespace string) error {
	made, err := e.Create(e.Ctx(), Pod(namespace))
	if err == nil && !HasProxy(made) {
		err = errors.New("no sidecar")
	}
	return err
}

func (c *Creations) note(began time.Time, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tried++
	if err != nil {
		c.failures = append(c.failures, Failure{began, time.Now(), err})
	}
}

func (c *Creations) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tried
}

func (f Failure) String() string { return f.Ended.Format("05.000 ") + f.Err.Error() }
