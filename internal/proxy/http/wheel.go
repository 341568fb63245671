package http

import (
	"sync"
	"sync/atomic"
	"time"
)

// tick is how exact timeouts are, unless a route asks for one shorter than exactBelow.
const tick = 100 * time.Millisecond

// wheel wakes what has waited too long. Time is nanoseconds since the engine began. A connection or stream has one
// watch, and says when it wants to be looked at next by one store: requests pay for no timer. The times stand beside
// each other, so that looking at ten thousand of them ten times a second costs next to nothing.
type wheel struct {
	began time.Time
	now   atomic.Int64 // as of the last tick

	mu      sync.Mutex
	chunks  atomic.Pointer[[]*chunk]
	free    []*watch
	used    int           // watches that aren't free
	resting bool          // it turns once a restingTick only
	wake    chan struct{} // a watch was joined while it rested
}

// A wheel without watches turns slower, so that a proxy nobody uses hardly ever wakes up; it does so when it has been
// empty for a while, for a request would have to wake it.
const (
	restingTick = time.Second
	restAfter   = 10 // ticks
)

const chunkLen = 128

// chunk are watches and, apart from them, their times.
type chunk struct {
	at  [chunkLen]atomic.Int64
	all [chunkLen]watch
}

// watch is a place in the wheel.
type watch struct {
	at    *atomic.Int64 // 0: never; looking: the wheel is at it
	mu    sync.Mutex    // held while the wheel is at it
	owner watched       // under mu
}

const looking = -1

// watched is looked at when its time has come, on the wheel's goroutine: it must not wait. It returns the next time, 0
// for none.
type watched interface{ look(now int64) (next int64) }

func newWheel(now time.Time) *wheel {
	w := &wheel{began: now, wake: make(chan struct{}, 1)}
	w.chunks.Store(&[]*chunk{})
	return w
}

// since is t in the wheel's time.
func (w *wheel) since(t time.Time) int64 { return int64(t.Sub(w.began)) }

// join returns a watch for owner, which isn't looked at yet.
func (w *wheel) join(owner watched) *watch {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.free) == 0 {
		w.grow()
	}
	got := w.free[len(w.free)-1]
	w.free = w.free[:len(w.free)-1]
	got.mu.Lock()
	got.owner = owner
	got.mu.Unlock()
	w.used++
	if w.resting {
		w.rouse()
	}
	return got
}

// rouse has the wheel turn fast again; until then its time is what it is now. Callers hold mu.
func (w *wheel) rouse() {
	w.resting = false
	w.now.Store(max(w.now.Load(), w.since(time.Now())))
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *wheel) grow() {
	c := &chunk{}
	for i := range c.all {
		c.all[i].at = &c.at[i]
		w.free = append(w.free, &c.all[i])
	}
	old := *w.chunks.Load()
	next := append(append(make([]*chunk, 0, len(old)+1), old...), c)
	w.chunks.Store(&next)
}

// leave gives the watch back. When it returns the wheel doesn't know its owner any more.
func (w *wheel) leave(x *watch) {
	x.set(0)
	x.mu.Lock()
	x.owner = nil
	x.mu.Unlock()
	w.mu.Lock()
	w.free = append(w.free, x)
	w.used--
	w.mu.Unlock()
}

// rest reports whether the wheel may turn slower from now on, because it has been empty for so many turns.
func (w *wheel) rest(empty *int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.used > 0 {
		*empty = 0
		return false
	}
	if *empty++; *empty < restAfter {
		return false
	}
	*empty, w.resting = 0, true
	return true
}

// set says when to be looked at. If the wheel is looking right now, it has finished when set returns.
func (x *watch) set(at int64) {
	if x.at.Swap(at) == looking {
		x.mu.Lock()
		x.mu.Unlock() //nolint:staticcheck // only waits
		x.at.Store(at)
	}
}

// turn looks at everything whose time has come.
func (w *wheel) turn(now int64) {
	w.now.Store(now)
	for _, c := range *w.chunks.Load() {
		for i := range c.at {
			if at := c.at[i].Load(); at > 0 && at <= now {
				c.all[i].look(at, now)
			}
		}
	}
}

func (x *watch) look(at, now int64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.owner == nil || !x.at.CompareAndSwap(at, looking) {
		return
	}
	x.at.CompareAndSwap(looking, x.owner.look(now))
}

// run turns the wheel until done is closed. Each second it also calls sweep.
func (w *wheel) run(done <-chan struct{}, sweep func()) {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	empty, swept := 0, time.Now()
	for {
		select {
		case <-done:
			return
		case <-w.wake:
			ticker.Reset(tick)
		case t := <-ticker.C:
			w.turn(w.since(t))
			if t.Sub(swept) >= time.Second-tick/2 {
				swept = t
				sweep()
			}
			if w.rest(&empty) {
				ticker.Reset(restingTick)
			}
		}
	}
}
