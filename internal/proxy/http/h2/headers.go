package h2

import "encoding/binary"

// onHeaders begins a block, and decodes it if it is whole.
func (c *conn) onHeaders(h frameHeader, p []byte) error {
	if h.stream == 0 || h.stream%2 == 0 {
		return broken(ProtocolError, "HEADERS on a stream that isn't a client's")
	}
	p, ok := unpad(h, p)
	if !ok {
		return broken(ProtocolError, "more padding than frame")
	}
	selfish := false
	if h.has(flagPriority) {
		if len(p) < 5 {
			return broken(FrameSizeError, "HEADERS cut off")
		}
		selfish = binary.BigEndian.Uint32(p)&^(1<<31) == h.stream
		p = p[5:]
	}
	if err := c.emptyFrame(len(p), h.has(flagEndStream) || h.has(flagEndHeaders)); err != nil {
		return err
	}
	if selfish {
		h.kind = framePriority // what is wrong is told when the block has been decoded
	}
	if h.has(flagEndHeaders) {
		return c.block(h, p)
	}
	c.in.begun, c.in.frames = h, 1
	c.in.block = append(c.in.block[:0], p...)
	return nil
}

func (c *conn) emptyFrame(n int, end bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.guard.payload(n, end)
}

// onContinuation goes on with a block. Many short frames, or a block that never ends, cost the peer nothing
// (CVE-2024-27316).
func (c *conn) onContinuation(h frameHeader, p []byte) error {
	in := &c.in
	if err := c.emptyFrame(len(p), h.has(flagEndHeaders)); err != nil {
		return err
	}
	in.frames++
	if in.frames > blockFrames || len(in.block)+len(p) > int(c.opts.MaxHeadBytes)*2 {
		return flood("CONTINUATION")
	}
	in.block = append(in.block, p...)
	if !h.has(flagEndHeaders) {
		return nil
	}
	in.frames = 0
	err := c.block(in.begun, in.block)
	in.block = nil
	return err
}

// block decodes a whole header block. Whatever becomes of the stream, that must be done: the table of the connection
// depends on it.
func (c *conn) block(h frameHeader, p []byte) error {
	m := c.opts.newMessage(!c.client, c.isTrailers(h.stream))
	if err := c.in.decoder.Decode(p, m); err != nil {
		m.free()
		return broken(CompressionError, err.Error())
	}
	if h.kind == framePriority {
		m.refuse("priority")
	}
	c.in.msg = m
	if m.isTrailers {
		return c.onTrailers(h, m)
	}
	return c.head(h)
}

// isTrailers tells whether a block for a stream comes after its head.
func (c *conn) isTrailers(id uint32) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.streams[id]
	return s != nil && s.headCome
}

// onTrailers ends a message with its trailers. Where its stream has closed since isTrailers was asked, they are a head
// that comes too late.
func (c *conn) onTrailers(h frameHeader, m *message) error {
	c.mu.Lock()
	s := c.streams[h.stream]
	if s == nil {
		c.mu.Unlock()
		return c.head(h)
	}
	defer c.mu.Unlock()
	switch {
	case s.ended:
		m.free()
		return c.resetLocked(h.stream, StreamClosed, "HEADERS after the end")
	case !h.has(flagEndStream), m.wrong != "", m.tooLarge(), s.length >= 0 && s.received != s.length:
		rule := or(m.wrong, "trailers")
		m.free()
		return c.resetLocked(h.stream, ProtocolError, rule)
	}
	s.trailers = m
	s.endInLocked()
	return nil
}
