package h2

import (
	"encoding/binary"
	"time"
)

// timerState is a connection's one timer: it runs when the earliest of these is due. Zero times aren't waited for.
type timerState struct {
	c      *conn
	timer  *time.Timer
	next   time.Time // when timer fires
	unused time.Time // since when there are no streams
	begun  time.Time // since when a frame or a head is incomplete
	ping   time.Time // when the next keep-alive PING is sent
	pong   time.Time // when the answer must be here
	second time.Time // when the second GOAWAY is sent without an answer
}

func (c *conn) startTimer() {
	t := &c.timer
	t.c = c
	now := time.Now()
	t.begun, t.unused = now, now
	if c.opts.KeepAliveInterval > 0 {
		t.ping = now.Add(c.opts.KeepAliveInterval)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	t.arm()
}

func (t *timerState) stop() {
	if t.timer != nil {
		t.timer.Stop()
	}
}

func (t *timerState) busy() { t.unused = time.Time{} }

func (t *timerState) idle() {
	if t.c.opts.IdleTimeout > 0 {
		t.unused = time.Now()
		t.arm()
	}
}

func (t *timerState) drain() {
	t.second = time.Now().Add(t.c.opts.DrainTimeout)
	t.arm()
}

// parked notes whether the reader waits in the middle of something.
func (c *conn) parked(inside bool) {
	if c.opts.HeadTimeout == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !c.in.settled: // since the beginning
	case !inside:
		c.timer.begun = time.Time{}
	case c.timer.begun.IsZero():
		c.timer.begun = time.Now()
		c.timer.arm()
	}
}

// deadlines are what may end the connection, or be sent.
func (t *timerState) deadlines() [5]time.Time {
	return [5]time.Time{after(t.unused, t.c.opts.IdleTimeout), after(t.begun, t.c.opts.HeadTimeout), t.ping, t.pong, t.second}
}

func after(start time.Time, d time.Duration) time.Time {
	if start.IsZero() || d == 0 {
		return time.Time{}
	}
	return start.Add(d)
}

// arm sets the timer unless it fires early enough anyway.
func (t *timerState) arm() {
	var first time.Time
	for _, at := range t.deadlines() {
		if !at.IsZero() && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	if first.IsZero() || t.c.dead != nil || !t.next.IsZero() && !first.Before(t.next) {
		return
	}
	t.next = first
	if t.timer == nil {
		t.timer = time.AfterFunc(time.Until(first), t.fire)
		return
	}
	t.timer.Reset(time.Until(first))
}

func (t *timerState) fire() {
	c := t.c
	c.mu.Lock()
	defer c.mu.Unlock()
	t.next = time.Time{}
	if c.dead != nil {
		return
	}
	now := time.Now()
	due := t.deadlines()
	passed := func(i int) bool { return !due[i].IsZero() && !now.Before(due[i]) }
	if passed(0) {
		c.leaveLocked()
	}
	if passed(1) {
		c.timeoutLocked("a head or a frame takes too long")
	}
	if passed(3) {
		c.timeoutLocked("PING isn't answered")
	} else if passed(2) {
		t.sendPing(now)
	}
	if passed(4) {
		t.second = time.Time{}
		c.lastGoAwayLocked()
	}
	c.flushApart()
	t.arm()
}

// leaveLocked ends a connection nobody uses.
func (c *conn) leaveLocked() {
	c.timer.unused = time.Time{}
	if c.client {
		c.away.last = true
		c.settle()
		return
	}
	c.drainLocked()
}

func (c *conn) timeoutLocked(why string) {
	c.failLocked(&Error{Code: NoError, Reason: why})
	c.stopLocked()
}

func (t *timerState) sendPing(now time.Time) {
	t.ping = now.Add(t.c.opts.KeepAliveInterval)
	if t.pong.IsZero() {
		t.pong = now.Add(t.c.opts.KeepAliveTimeout)
	}
	var data [8]byte
	binary.BigEndian.PutUint64(data[:], uint64(now.UnixNano())) //nolint:gosec // any bytes do
	t.c.out.bytes = appendPing(t.c.out.bytes, 0, data[:])
}

// pongLocked takes an answer to PING.
func (c *conn) pongLocked(data [8]byte) {
	c.timer.pong = time.Time{}
	if data == drainPing {
		c.timer.second = time.Time{}
		c.lastGoAwayLocked()
	}
}
