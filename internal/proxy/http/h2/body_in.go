package h2

import (
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// pieces is a queue of buffers with body bytes.
type pieces struct {
	list  [][]byte
	first [2][]byte // list's memory until it needs more
}

// add copies p in. A window's worth of short frames mustn't take more memory than the window, so they share buffers.
func (q *pieces) add(p []byte) {
	if n := len(q.list); n > 0 {
		last := q.list[n-1]
		k := min(cap(last)-len(last), len(p))
		q.list[n-1], p = append(last, p[:k]...), p[k:]
	}
	if len(p) == 0 {
		return
	}
	if q.list == nil {
		q.list = q.first[:0]
	}
	q.list = append(q.list, append(getBuffer(len(p)), p...))
}

func (q *pieces) take() []byte {
	p := q.list[0]
	n := copy(q.list, q.list[1:])
	q.list[n] = nil
	q.list = q.list[:n]
	return p
}

// onData takes a piece of a body in.
func (c *conn) onData(h frameHeader, p []byte) error {
	data, ok := unpad(h, p)
	switch {
	case h.stream == 0:
		return broken(ProtocolError, "DATA on stream 0")
	case !ok:
		return broken(ProtocolError, "more padding than frame")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.guard.payload(len(data), h.has(flagEndStream)); err != nil {
		return err
	}
	if c.window -= int64(len(p)); c.window < 0 {
		return broken(FlowControlError, "more DATA than the connection's window")
	}
	s := c.streams[h.stream]
	if s == nil || s.ended {
		c.creditLocked(len(p))
		return c.strayLocked(h)
	}
	return c.dataLocked(s, h, data, len(p))
}

// strayLocked answers DATA that no stream waits for.
func (c *conn) strayLocked(h frameHeader) error {
	if c.idle(h.stream) {
		return broken(ProtocolError, "DATA on an idle stream")
	}
	if _, ours := c.closed.find(h.stream); ours || c.beyondLocked(h.stream) {
		return nil // sent before the peer knew
	}
	return c.resetLocked(h.stream, StreamClosed, "DATA after the end")
}

func (c *conn) dataLocked(s *core, h frameHeader, data []byte, full int) error {
	if s.window -= int64(full); s.window < 0 && c.peer.acked {
		c.creditLocked(full)
		return c.resetLocked(s.id, FlowControlError, "more DATA than the window")
	}
	if !s.headCome {
		c.creditLocked(full)
		return c.resetLocked(s.id, ProtocolError, "DATA before the head")
	}
	s.received += int64(len(data))
	end := h.has(flagEndStream)
	if s.length >= 0 && (s.received > s.length || end && s.received < s.length) {
		c.creditLocked(full)
		return c.resetLocked(s.id, ProtocolError, "content_length")
	}
	padding := full - len(data)
	c.creditLocked(padding)
	s.credit += int64(padding)
	if len(data) > 0 {
		s.pieces.add(data)
	}
	if end {
		s.endInLocked()
	} else if len(data) > 0 {
		s.wake.Broadcast()
	}
	return nil
}

// unpad returns a frame's payload without padding.
func unpad(h frameHeader, p []byte) ([]byte, bool) {
	if !h.has(flagPadded) {
		return p, true
	}
	if len(p) == 0 || int(p[0]) >= len(p) {
		return nil, false
	}
	return p[1 : len(p)-int(p[0])], true
}

// readBody hands out the next piece. The one before was forwarded: it is credited now.
func (s *core) readBody(trailers *stream.Fields) ([]byte, bool, error) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.releaseLocked()
	for {
		switch {
		case s.readFailure() != nil:
			return nil, false, s.readFailure()
		case len(s.pieces.list) > 0:
			s.held = s.pieces.take()
		case !s.ended:
			s.wake.Wait()
			continue
		}
		end := s.ended && len(s.pieces.list) == 0
		if end {
			s.trailersInto(trailers)
		}
		return s.held, end, nil
	}
}

// ready reports whether readBody would return at once.
func (s *core) ready() bool {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return s.readFailure() != nil || len(s.pieces.list) > 0 || s.ended
}

// releaseLocked gives back what was handed out, and the credit for it.
func (s *core) releaseLocked() {
	if s.held == nil {
		return
	}
	n := len(s.held)
	putBuffer(s.held)
	s.held = nil
	if !s.ended {
		s.credit += int64(n)
		s.windowUpdateLocked()
	}
	s.c.creditLocked(n)
	if s.c.out.updates {
		s.c.flushLocked()
	}
}

// windowUpdateLocked lets the peer send more, once that is worth a frame.
func (s *core) windowUpdateLocked() {
	if !worthUpdate(s.credit, s.window, s.c.opts.StreamWindow) || s.c.streams[s.id] != s {
		return
	}
	s.c.out.bytes = appendWindowUpdate(s.c.out.bytes, s.id, uint32(s.credit))
	s.c.out.updates = true
	s.window += s.credit
	s.credit = 0
}

// creditLocked does the same for the connection.
func (c *conn) creditLocked(n int) {
	c.credit += int64(n)
	if !worthUpdate(c.credit, c.window, c.opts.ConnectionWindow) {
		return
	}
	c.out.bytes = appendWindowUpdate(c.out.bytes, 0, uint32(c.credit))
	c.out.updates = true
	c.window += c.credit
	c.credit = 0
}

// worthUpdate: a quarter of the window, or as much as the peer has left.
func worthUpdate(credit, left int64, window uint32) bool {
	return credit > 0 && (credit >= int64(window/4) || credit >= left)
}

// dropLocked throws away what nobody will read.
func (s *core) dropLocked() {
	n := 0
	for _, p := range s.pieces.list {
		n += len(p)
		putBuffer(p)
	}
	s.pieces.list = nil
	s.c.creditLocked(n)
}
