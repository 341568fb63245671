package h2

import "encoding/binary"

// frame carries out one frame. An error ends the connection; what is wrong with a stream only resets it.
func (c *conn) frame(h frameHeader, payload []byte) error {
	if err := c.order(h); err != nil {
		return err
	}
	switch h.kind {
	case frameData:
		return c.onData(h, payload)
	case frameHeaders:
		return c.onHeaders(h, payload)
	case frameContinuation:
		return c.onContinuation(h, payload)
	case framePriority:
		return c.onPriority(h, payload)
	case frameReset:
		return c.onReset(h, payload)
	case frameSettings:
		return c.onSettings(h, payload)
	case framePushPromise:
		return broken(ProtocolError, "PUSH_PROMISE, which nobody may send here")
	case framePing:
		return c.onPing(h, payload)
	case frameGoAway:
		return c.onGoAway(h, payload)
	case frameWindowUpdate:
		return c.onWindowUpdate(h, payload)
	}
	return nil // unknown types are ignored, RFC 9113 section 4.1
}

// order checks what may come now: SETTINGS first, and nothing between HEADERS and its CONTINUATION.
func (c *conn) order(h frameHeader) error {
	if !c.in.settled {
		if h.kind != frameSettings || h.has(flagAck) {
			return broken(ProtocolError, "the first frame isn't SETTINGS")
		}
		c.in.settled = true
	}
	inBlock := c.in.frames > 0
	if inBlock != (h.kind == frameContinuation) || inBlock && h.stream != c.in.begun.stream {
		return broken(ProtocolError, "CONTINUATION missing or out of place")
	}
	return nil
}

// idle reports whether a stream was never opened. Callers hold mu.
func (c *conn) idle(id uint32) bool {
	return id > c.highest || id%2 == 0
}

func (c *conn) onPriority(h frameHeader, p []byte) error {
	if h.stream == 0 {
		return broken(ProtocolError, "PRIORITY on stream 0")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.guard.priority(); err != nil {
		return err
	}
	switch {
	case len(p) != 5:
		return c.resetLocked(h.stream, FrameSizeError, "PRIORITY isn't 5 bytes")
	case binary.BigEndian.Uint32(p)&^(1<<31) == h.stream:
		return c.resetLocked(h.stream, ProtocolError, "a stream depends on itself")
	}
	return nil
}

func (c *conn) onReset(h frameHeader, p []byte) error {
	if len(p) != 4 {
		return broken(FrameSizeError, "RST_STREAM isn't 4 bytes")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if h.stream == 0 || c.idle(h.stream) {
		return broken(ProtocolError, "RST_STREAM on an idle stream")
	}
	c.opts.Counters.ResetsReceived.Add(1)
	s := c.streams[h.stream]
	if s == nil {
		return nil
	}
	c.forgetLocked(s, false)
	s.resetByPeer(Code(binary.BigEndian.Uint32(p)))
	if c.client {
		return nil
	}
	return c.guard.reset(s.opened)
}

func (c *conn) onSettings(h frameHeader, p []byte) error {
	switch {
	case h.stream != 0:
		return broken(ProtocolError, "SETTINGS on a stream")
	case h.has(flagAck) && len(p) > 0, len(p)%6 != 0:
		return broken(FrameSizeError, "SETTINGS of a wrong length")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if h.has(flagAck) {
		c.peer.acked = true
		return nil
	}
	for ; len(p) > 0; p = p[6:] {
		if err := c.setLocked(setting(binary.BigEndian.Uint16(p)), binary.BigEndian.Uint32(p[2:])); err != nil {
			return err
		}
	}
	c.peer.come = true
	c.changed.Broadcast()
	return c.answerLocked(func(out []byte) []byte { return appendFrame(out, 0, frameSettings, flagAck, 0) })
}

func (c *conn) setLocked(id setting, value uint32) error {
	switch id {
	case settingTableSize:
		c.encoder.SetLimit(value)
	case settingPush:
		if value > 1 || c.client && value == 1 {
			return broken(ProtocolError, "ENABLE_PUSH")
		}
	case settingStreams:
		c.peer.streams = value
	case settingWindow:
		return c.setWindowLocked(value)
	case settingFrameSize:
		if value < maxFrameSize || value >= 1<<24 {
			return broken(ProtocolError, "MAX_FRAME_SIZE")
		}
	case settingConnect:
		if value > 1 {
			return broken(ProtocolError, "ENABLE_CONNECT_PROTOCOL")
		}
		c.peer.connect = value == 1
	}
	return nil
}

// setWindowLocked changes the windows of all open streams, RFC 9113 section 6.9.2: they may become negative.
func (c *conn) setWindowLocked(value uint32) error {
	if value > maxWindow {
		return broken(FlowControlError, "INITIAL_WINDOW_SIZE")
	}
	more := int64(value) - c.peer.window
	c.peer.window = int64(value)
	for _, s := range c.streams {
		s.sendable += more
		if s.sendable > maxWindow {
			return broken(FlowControlError, "a window over 2^31-1")
		}
		s.wake.Broadcast()
	}
	return nil
}

func (c *conn) onPing(h frameHeader, p []byte) error {
	switch {
	case h.stream != 0:
		return broken(ProtocolError, "PING on a stream")
	case len(p) != 8:
		return broken(FrameSizeError, "PING isn't 8 bytes")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if h.has(flagAck) {
		c.pongLocked([8]byte(p))
		return nil
	}
	return c.answerLocked(func(out []byte) []byte { return appendPing(out, flagAck, p) })
}

func (c *conn) onWindowUpdate(h frameHeader, p []byte) error {
	if len(p) != 4 {
		return broken(FrameSizeError, "WINDOW_UPDATE isn't 4 bytes")
	}
	n := int64(binary.BigEndian.Uint32(p) &^ (1 << 31))
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.guard.windowUpdate(c.out.dataFrames); err != nil {
		return err
	}
	if h.stream == 0 {
		return c.widenLocked(n)
	}
	s := c.streams[h.stream]
	switch {
	case s == nil && c.idle(h.stream):
		return broken(ProtocolError, "WINDOW_UPDATE on an idle stream")
	case s == nil:
		return nil
	case n == 0:
		return c.resetLocked(h.stream, ProtocolError, "WINDOW_UPDATE of 0")
	case s.sendable+n > maxWindow:
		return c.resetLocked(h.stream, FlowControlError, "a window over 2^31-1")
	}
	s.sendable += n
	s.wake.Broadcast()
	return nil
}

// widenLocked adds to the connection's window.
func (c *conn) widenLocked(n int64) error {
	switch {
	case n == 0:
		return broken(ProtocolError, "WINDOW_UPDATE of 0")
	case c.sendable+n > maxWindow:
		return broken(FlowControlError, "the connection's window over 2^31-1")
	}
	c.sendable += n
	c.wakeWriters()
	return nil
}
