package webhook

import (
	"context"
	"sync"
	"time"
)

// limited is a context with a deadline whose timer is only made when somebody is to wait for it: most requests wait for
// nothing, and a timer is one of the dearer things of a request that changes nothing.
type limited struct {
	context.Context // of the request
	at              time.Time

	mu     sync.Mutex
	timed  context.Context // what Done is of; nil: nobody has asked yet
	cancel context.CancelFunc
}

// limit returns a context that whoever asked for it has to end.
func limit(ctx context.Context, timeout time.Duration) *limited {
	return &limited{Context: ctx, at: time.Now().Add(timeout)}
}

// Deadline is the earlier one of its own and the request's.
func (l *limited) Deadline() (time.Time, bool) {
	if at, ok := l.Context.Deadline(); ok && at.Before(l.at) {
		return at, true
	}
	return l.at, true
}

// Done makes the timer.
func (l *limited) Done() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.timed == nil {
		l.timed, l.cancel = context.WithDeadline(l.Context, l.at) //nolint:gosec // end calls it
	}
	return l.timed.Done()
}

// Err looks at the clock where nobody has asked for Done. Where somebody has, it must never be nil once that is closed:
// contexts made of this one panic then.
func (l *limited) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.timed != nil {
		return l.timed.Err()
	}
	if err := l.Context.Err(); err != nil || time.Now().Before(l.at) {
		return err
	}
	return context.DeadlineExceeded
}

// end stops the timer if there is one; who asks later waits for the request's own end.
func (l *limited) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.timed == nil {
		l.timed, l.cancel = l.Context, func() {}
	}
	l.cancel()
}
