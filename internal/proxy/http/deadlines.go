package http

import (
	"sync/atomic"
	"time"
)

// deadline is a reason to end a request by time.
type deadline uint8

const (
	headDeadline    deadline = iota // request_headers_timeout, and idle_timeout between requests
	requestDeadline                 // request_timeout: the whole request
	routeDeadline                   // timeout of the route
	tryDeadline                     // per_try_timeout
	tryIdleDeadline                 // per_try_idle_timeout
	streamDeadline                  // max_stream_duration
	idleDeadline                    // stream_idle_timeout: moved by every byte
	goneDeadline                    // is the client still there?
	deadlines
)

// goneAfter is how old a request is when it is first looked whether its client still waits, and how often after.
const goneAfter = 500 * time.Millisecond

// exactBelow are timeouts that don't wait for the wheel's next turn.
const exactBelow = 3 * time.Second

// causes are the deadlines that passed, as bits, and other reasons why a call was cut.
type causes uint32

const (
	causeGone  causes = 1 << (deadlines + iota) // the client went away
	causeAbort                                  // the engine is closed
)

func (d deadline) cause() causes { return 1 << d }

// timers are a call's deadlines in the wheel's time, 0 for none. The wheel reads what the call's goroutine writes.
type timers struct {
	at     [deadlines]atomic.Int64
	idle   atomic.Int64 // how long idleDeadline lets a stream be silent
	moved  atomic.Int64 // when a byte last moved
	causes atomic.Uint32
}

func (t *timers) reset() {
	for i := range t.at {
		if t.at[i].Load() != 0 {
			t.at[i].Store(0)
		}
	}
	t.causes.Store(0)
}

func (t *timers) has(c causes) bool { return causes(t.causes.Load())&c != 0 }

// drop forgets a deadline, and that it passed.
func (t *timers) drop(d deadline) {
	if t.at[d].Load() != 0 {
		t.at[d].Store(0)
		t.causes.And(^uint32(d.cause()))
	}
}

// next is the earliest deadline, 0 for none.
func (t *timers) next() (next int64) {
	for i := range t.at {
		if at := t.at[i].Load(); at != 0 && (next == 0 || at < next) {
			next = at
		}
	}
	return next
}

// passed returns the deadlines that are over at now. Silence that was broken meanwhile moves its deadline.
func (t *timers) passed(now int64) (over causes) {
	for i := range t.at {
		at := t.at[i].Load()
		if at == 0 || at > now {
			continue
		}
		if deadline(i) == idleDeadline {
			if until := t.moved.Load() + t.idle.Load(); until > now {
				t.at[i].Store(until)
				continue
			}
		}
		over |= deadline(i).cause()
	}
	return over
}

// look implements watched.
func (c *call) look(now int64) (next int64) {
	over := c.timers.passed(now)
	if over&goneDeadline.cause() != 0 {
		over &^= goneDeadline.cause()
		c.timers.at[goneDeadline].Store(now + int64(goneAfter))
		if c.down.Gone() {
			over |= causeGone
		}
	}
	if over != 0 {
		c.cut(over)
	}
	next = c.timers.next()
	if next != 0 && next <= now {
		next = now + 1 // not heard yet: again with the next turn
	}
	return next
}

// arm sets a deadline d from now. Short ones get a timer of their own.
func (c *call) arm(d deadline, after time.Duration) {
	at := c.now() + int64(after)
	c.timers.at[d].Store(at)
	if after < exactBelow && d != goneDeadline && d != idleDeadline {
		c.exact(after)
	}
}

// exact lets a timer look besides the wheel.
func (c *call) exact(after time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timer == nil {
		c.timer = time.AfterFunc(after, c.lookNow)
		c.timerAt = c.now() + int64(after)
		return
	}
	if at := c.now() + int64(after); c.timerAt <= c.now() || at < c.timerAt {
		c.timerAt = at
		c.timer.Reset(after)
	}
}

// lookNow is the timer's. It may come late, when the call is over or another one uses it: then nothing has passed.
func (c *call) lookNow() {
	at := c.watch.at.Load()
	if at > 0 {
		c.watch.look(at, c.now())
	}
}

// cut ends what the call waits for. Its goroutine finds the causes.
func (c *call) cut(why causes) {
	c.timers.causes.Or(uint32(why))
	if answering := c.interrupt(); c.down == nil {
		return // a call of our own
	} else if why&(causeGone|causeAbort|requestDeadline.cause()|idleDeadline.cause()|streamDeadline.cause()|headDeadline.cause()) != 0 || answering {
		c.down.Interrupt()
	}
}

// quit is cut for who reads from the client or answers for it, and needs no interrupting there.
func (c *call) quit(why causes) {
	c.timers.causes.Or(uint32(why))
	c.interrupt()
}

// interrupt ends waiting for the upstream. It reports whether the client is being answered.
func (c *call) interrupt() (answering bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.up != nil {
		c.up.Interrupt()
	}
	if c.cancel != nil {
		c.cancel()
	}
	return c.answering
}

func (c *call) now() int64 { return int64(time.Since(c.engine.wheel.began)) }
