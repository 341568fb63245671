package h2

import (
	"encoding/binary"
	"net"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/http/codec"
)

// awayState is how far a connection is on its way out.
type awayState struct {
	asked   bool   // Drain was called: no new streams are wanted
	last    bool   // the peer was told which stream is the last (a server's), or nothing new may be opened (a client's)
	lastID  uint32 // of that
	stopped bool   // the reader shall end
}

// drainPing is the PING that follows the first GOAWAY: when its answer is here, the client has read that too, and has
// opened no more streams than we have seen.
var drainPing = [8]byte{'d', 'r', 'a', 'i', 'n', 'i', 'n', 'g'}

// Drain asks the client to leave, in two steps so that no request on its way gets lost: GOAWAY with the highest
// number there is, then with the last one that came. Requests being worked on are finished, then the connection ends.
func (s *Server) Drain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drainLocked()
	s.flushApart()
}

// DrainIdle is Drain for a connection without open streams; others stay as they are.
func (s *Server) DrainIdle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.active == 0 {
		s.drainLocked()
		s.flushApart()
	}
}

func (c *conn) drainLocked() {
	if c.away.asked || c.dead != nil {
		return
	}
	c.away.asked = true
	c.out.bytes = appendGoAway(c.out.bytes, maxWindow, NoError, "")
	c.out.bytes = appendPing(c.out.bytes, 0, drainPing[:])
	c.timer.drain()
}

// lastGoAwayLocked is the second step.
func (c *conn) lastGoAwayLocked() {
	if !c.away.asked || c.away.last {
		return
	}
	c.away.last, c.away.lastID = true, c.highest
	c.out.bytes = appendGoAway(c.out.bytes, c.highest, NoError, "")
	c.settle()
}

// beyondLocked reports whether a stream is above what GOAWAY told the peer.
func (c *conn) beyondLocked(id uint32) bool { return !c.client && c.away.last && id > c.away.lastID }

// onGoAway is a server that wants us to leave, or a client that will open no more streams.
func (c *conn) onGoAway(h frameHeader, p []byte) error {
	switch {
	case h.stream != 0:
		return broken(ProtocolError, "GOAWAY on a stream")
	case len(p) < 8:
		return broken(FrameSizeError, "GOAWAY cut off")
	}
	if !c.client {
		return nil // it still wants its answers, and closes
	}
	last, code := binary.BigEndian.Uint32(p)&^(1<<31), Code(binary.BigEndian.Uint32(p[4:]))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.away.last = true
	for id, s := range c.streams {
		if id > last {
			c.forgetLocked(s, true)
			s.failLocked(&codec.Failure{Reason: codec.RefusedStream, Details: "GOAWAY " + code.String()})
		}
	}
	c.settle()
	return nil
}

// stopReason is the error the reader ends with after its deadline.
func (c *conn) stopReason() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead != nil {
		return c.dead
	}
	return errStopped
}

// abort closes at once.
func (c *conn) abort() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failLocked(net.ErrClosed)
	c.out.broken = true
	c.stopLocked()
	_ = c.nc.SetWriteDeadline(time.Unix(1, 0))
}

// flushApart has a goroutine write what is queued: for callers that mustn't wait for the peer. Callers hold mu.
func (c *conn) flushApart() {
	if c.out.flushing || len(c.out.bytes) == 0 {
		return
	}
	c.out.flushing = true
	go c.finish(nil)
}
