package http

import (
	"context"
	"time"
)

// patience is the context a call's filters wait with: it ends when the call is cut, or its filters have run. It costs
// nothing until somebody asks for Done; one that was asked isn't used again.
type patience struct {
	call *call
	done chan struct{} // under call.mu
	over bool
}

var _ context.Context = (*patience)(nil)

// Deadline implements context.Context: the call's deadlines are the wheel's business.
func (p *patience) Deadline() (time.Time, bool) { return time.Time{}, false }

// callKey is the key of the call in the context its filters get.
type callKey struct{}

// Value implements context.Context.
func (p *patience) Value(key any) any {
	if key == (callKey{}) {
		return p.call
	}
	return nil
}

// Done implements context.Context.
func (p *patience) Done() <-chan struct{} {
	p.call.mu.Lock()
	defer p.call.mu.Unlock()
	if p.done == nil {
		p.done = make(chan struct{})
		p.call.cancel = p.close
		if p.over || p.call.timers.causes.Load() != 0 {
			p.close()
		}
	}
	return p.done
}

// Rematch implements filter.Rematcher.
func (p *patience) Rematch() { p.call.rematch() }

// close is called under call.mu.
func (p *patience) close() {
	if !p.over {
		p.over = true
		if p.done != nil {
			close(p.done)
		}
	}
}

// Err implements context.Context.
func (p *patience) Err() error {
	p.call.mu.Lock()
	defer p.call.mu.Unlock()
	if p.over || p.call.timers.causes.Load() != 0 {
		return context.Canceled
	}
	return nil
}

// waited ends the context for whoever still holds it.
func (c *call) waited() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.patience; p.done != nil {
		p.close()
		c.cancel = nil
		c.patience = &patience{call: c}
	}
}

// context is what connecting and waiting end with: when the call is cut, or after limit. release must follow.
func (c *call) context(limit time.Duration) (ctx context.Context, release func()) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cancel = cancel
	if c.timers.causes.Load() != 0 {
		cancel()
	}
	return ctx, func() {
		cancel()
		c.mu.Lock()
		defer c.mu.Unlock()
		c.cancel = nil
	}
}

// sleep waits for d, or until the call is cut.
func (c *call) sleep(d time.Duration) {
	ctx, release := c.context(d)
	defer release()
	<-ctx.Done()
}
