package h2

import (
	"errors"
	"runtime"
	"syscall"
)

// output is the queue of frames to be written, one after the other as they go on the wire. It is under mu.
type output struct {
	bytes      []byte
	flushing   bool   // somebody writes what was taken from bytes before; it goes on until bytes is empty
	broken     bool   // nothing can be written any more
	answers    int    // frames in bytes that the peer made us write
	frames     int    // in bytes
	dataFrames uint64 // DATA since the beginning
	updates    bool   // there is WINDOW_UPDATE in bytes, for which the peer may wait
}

const (
	// outputMax stops heads and DATA: with what is being written, about twice that is in memory.
	outputMax = 64 << 10
	// batch is what is worth a system call of its own: with less, other streams may add first.
	batch = 8 << 10
)

// answerLocked queues a frame the peer made us write. They are bounded, because the peer needn't read.
func (c *conn) answerLocked(add func(out []byte) []byte) error {
	c.out.bytes = add(c.out.bytes)
	c.out.answers++
	c.out.frames++
	switch {
	case c.out.answers > answersMax:
		return flood("answers that aren't read")
	case c.out.frames > queuedMax:
		return flood("frames that aren't read")
	}
	return nil
}

// resetLocked resets a stream because the peer broke a rule with it.
func (c *conn) resetLocked(id uint32, code Code, reason string) error {
	c.opts.Counters.StreamErrors.Add(1)
	if s := c.streams[id]; s != nil {
		c.forgetLocked(s, true)
		s.failLocked(localFailure(reason))
	} else {
		c.closed.add(id, true)
	}
	return c.sendResetLocked(id, code)
}

func (c *conn) sendResetLocked(id uint32, code Code) error {
	c.opts.Counters.ResetsSent.Add(1)
	return c.answerLocked(func(out []byte) []byte { return appendReset(out, id, code) })
}

// flushLocked writes what is queued, unless somebody is doing that already. mu is let go meanwhile. Only goroutines of
// streams call it: the reader must not wait for the peer to read, which may wait for us to do so.
func (c *conn) flushLocked() {
	if c.out.flushing || len(c.out.bytes) == 0 {
		return
	}
	c.out.flushing = true
	if c.active > 1 && len(c.out.bytes) < batch {
		c.mu.Unlock()
		runtime.Gosched() // who else is about to write does so now
		c.mu.Lock()
	}
	c.writeLocked()
}

// writeLocked writes until the queue is empty.
func (c *conn) writeLocked() {
	for len(c.out.bytes) > 0 && !c.out.broken {
		p := c.takeLocked()
		c.mu.Unlock()
		_, err := c.nc.Write(p)
		putBuffer(p)
		c.mu.Lock()
		if err != nil {
			c.breakLocked(err)
		}
	}
	c.out.flushing = false
	if c.dead != nil {
		c.changed.Broadcast() // shut waits
	}
}

// takeLocked takes the queue, so that a new one begins.
func (c *conn) takeLocked() []byte {
	p := c.out.bytes
	c.out.bytes, c.out.answers, c.out.frames, c.out.updates = nil, 0, 0, false
	c.wakeWriters()
	return p
}

func (c *conn) breakLocked(err error) {
	c.out.broken = true
	c.failLocked(err)
	c.stopLocked()
}

// flushAside writes what is queued without waiting for the peer: what the socket doesn't take, another goroutine
// writes.
func (c *conn) flushAside() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.out.flushing || len(c.out.bytes) == 0 {
		return
	}
	c.out.flushing = true
	if c.raw == nil {
		go c.finish(nil)
		return
	}
	p := c.takeLocked()
	c.mu.Unlock()
	n := tryWrite(c.raw, p)
	c.mu.Lock()
	if n < len(p) {
		go c.finish(p[n:])
		return
	}
	putBuffer(p)
	c.out.flushing = false
	if len(c.out.bytes) > 0 {
		c.out.flushing = true
		go c.finish(nil)
	}
}

// finish writes the rest of what flushAside began, and what came since. It ends at the latest with the connection.
func (c *conn) finish(rest []byte) {
	var err error
	if len(rest) > 0 {
		_, err = c.nc.Write(rest)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.breakLocked(err)
	}
	c.writeLocked()
}

// tryWrite returns how many bytes the socket took at once. Errors come up when the rest is written.
func tryWrite(raw syscall.RawConn, p []byte) (n int) {
	_ = raw.Write(func(fd uintptr) bool {
		for {
			var err error
			if n, err = syscall.Write(int(fd), p); !errors.Is(err, syscall.EINTR) {
				return true
			}
		}
	})
	return max(n, 0)
}
