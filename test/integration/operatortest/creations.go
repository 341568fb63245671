package operatortest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// creations is a client that goes on making pods and counts what becomes of them.
type creations struct {
	mu       sync.Mutex
	tried    int
	failures []string
}

// atOnce creations are under way at most: a machine that is slow isn't to be buried.
const atOnce = 16

// KeepCreating makes pods in a meshed namespace, for show only, 50 a second if it can. The returned function waits for some more,
// ends it, and fails the test if more than allowed creations were refused or came without a sidecar.
func (e *Env) KeepCreating(namespace string) (stop func(allowed int)) {
	e.T.Helper()
	e.Injected(namespace)
	ctx, cancel := context.WithCancel(e.Ctx())
	c, free := &creations{}, make(chan struct{}, atOnce)
	var wait sync.WaitGroup
	wait.Go(func() {
		ticker := time.NewTicker(20 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			select {
			case free <- struct{}{}:
				wait.Go(func() {
					c.note(e.tryPod(namespace))
					<-free
				})
			default:
			}
		}
	})
	return func(allowed int) {
		e.T.Helper()
		enough := c.count() + 25 // what happened last must show
		e.Eventually("some more pods are created", func() error {
			if n := c.count(); n < enough {
				return fmt.Errorf("%d of %d", n, enough)
			}
			return nil
		})
		cancel()
		wait.Wait()
		c.judge(e, allowed)
	}
}

func (e *Env) tryPod(namespace string) error {
	made, err := e.Create(e.Ctx(), Pod(namespace))
	if err == nil && !HasProxy(made) {
		err = errors.New("no sidecar")
	}
	return err
}

func (c *creations) note(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tried++
	if err != nil {
		c.failures = append(c.failures, time.Now().Format("05.000 ")+err.Error())
	}
}

func (c *creations) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tried
}

func (c *creations) judge(e *Env, allowed int) {
	e.T.Helper()
	e.T.Logf("%d pods, %d failures", c.tried, len(c.failures))
	if len(c.failures) > allowed {
		e.T.Errorf("%d of %d creations failed, at most %d may: %q", len(c.failures), c.tried, allowed, c.failures[:min(5, len(c.failures))])
	}
}
