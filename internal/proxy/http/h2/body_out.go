package h2

import (
	"slices"

	"github.com/pillion-mesh/pillion/internal/proxy/http/codec"
)

// writeBody queues p as DATA, as windows and the queue have room, and waits for them.
func (s *core) writeBody(p []byte, end bool) error {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.wakeWriters()
	for {
		if err := s.roomLocked(); err != nil {
			return err
		}
		n := int(min(int64(len(p)), c.sendable, s.sendable, maxFrameSize))
		if n <= 0 && len(p) > 0 {
			s.waitWindowLocked()
			continue
		}
		last := n == len(p)
		if last && !end && n == 0 {
			return nil
		}
		s.dataLocked(p[:n], last && end)
		if p = p[n:]; last {
			return nil
		}
	}
}

// dataLocked queues one frame.
func (s *core) dataLocked(p []byte, end bool) {
	c := s.c
	flags := uint8(0)
	if end {
		flags = flagEndStream
	}
	c.out.bytes = grow(c.out.bytes, headerLen+len(p))
	c.out.bytes = append(appendFrame(c.out.bytes, len(p), frameData, flags, s.id), p...)
	c.out.frames++
	c.out.dataFrames++
	c.sendable -= int64(len(p))
	s.sendable -= int64(len(p))
	if end {
		s.endOutLocked()
		c.flushLocked()
	}
}

// roomLocked waits until the queue has room, or the stream has ended.
func (s *core) roomLocked() error {
	c := s.c
	for {
		switch {
		case s.writeFailure() != nil:
			return s.writeFailure()
		case s.finished:
			return &codec.Failure{Reason: codec.LocalReset, Details: "written to after its end"}
		case len(c.out.bytes) < outputMax:
			return nil
		case !c.out.flushing:
			c.flushLocked()
		default:
			s.queueLocked()
		}
	}
}

// waitWindowLocked waits for a window to open. The peer gets all that is queued first: it opens windows for what it got.
func (s *core) waitWindowLocked() {
	c := s.c
	switch {
	case len(c.out.bytes) > 0 && !c.out.flushing:
		c.flushLocked()
	case s.sendable <= 0:
		c.wakeWriters()
		s.wake.Wait()
	default:
		s.queueLocked()
	}
}

// queueLocked waits in the line of those who need what all streams share.
func (s *core) queueLocked() {
	if !s.waiting {
		s.waiting = true
		s.c.waiters = append(s.c.waiters, s)
	}
	s.wake.Wait()
	if s.waiting { // woken by its own end: the line must not keep it
		s.waiting = false
		s.c.waiters = slices.DeleteFunc(s.c.waiters, func(w *core) bool { return w == s })
	}
}

// wakeWriters wakes as many waiting writers as could write, the longest waiting first. Each calls it again when it is
// done, so that room it left isn't lost. Callers hold mu.
func (c *conn) wakeWriters() {
	for room := min(c.sendable, int64(outputMax-len(c.out.bytes))); room > 0 && len(c.waiters) > 0; room -= maxFrameSize {
		s := c.waiters[0]
		n := copy(c.waiters, c.waiters[1:])
		c.waiters[n] = nil
		c.waiters = c.waiters[:n]
		s.waiting = false
		s.wake.Broadcast()
	}
}

// flush sends what is queued.
func (s *core) flush() error {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.c.flushLocked()
	if err := s.writeFailure(); err != nil {
		return err
	}
	return nil
}
