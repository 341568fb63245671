package h2

import (
	"sync"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/http/codec"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// core is what a server's and a client's streams share: both bodies and how they end. All of it is under the
// connection's mu, but for held, which belongs to who reads.
type core struct {
	c      *conn
	id     uint32
	opened time.Time     // a server's only
	wake   sync.Cond     // anything below has changed
	onGone func()        // see ServerStream.OnGone
	owner  *ClientStream // nil on a server

	// What comes in.
	headCome bool
	pieces   pieces
	held     []byte // handed out by the latest readBody
	ended    bool   // no more comes
	trailers *message
	length   int64 // told; -1: not
	received int64
	window   int64 // what the peer may still send
	credit   int64 // what it will be allowed besides
	readErr  *codec.Failure

	// What goes out.
	headSent bool
	upgraded bool // extended CONNECT
	finished bool // nothing more goes out
	sendable int64
	waiting  bool // in conn.waiters
	writeErr *codec.Failure
}

// openLocked begins a stream.
func (s *core) openLocked(c *conn, id uint32) {
	s.c, s.id, s.length = c, id, -1
	s.wake.L = &c.mu
	s.window, s.sendable = int64(c.opts.StreamWindow), c.peer.window
	c.streams[id] = s
	c.guard.opened++
}

// forgetLocked takes a stream off the connection: frames for it no longer find it.
func (c *conn) forgetLocked(s *core, ours bool) {
	if c.streams[s.id] != s {
		return
	}
	delete(c.streams, s.id)
	c.closed.add(s.id, ours)
	c.guard.closed++
}

// failLocked ends what isn't complete.
func (s *core) failLocked(why *codec.Failure) {
	if !s.ended && s.readErr == nil {
		s.readErr = why
		s.dropLocked()
	}
	if !s.finished && s.writeErr == nil {
		s.writeErr = why
		if s.onGone != nil {
			s.onGone()
		}
	}
	s.wake.Broadcast()
}

// resetByPeer ends a stream after RST_STREAM. What came whole before may still be read: a server that needs no more of
// a request answers, then resets with NO_ERROR.
func (s *core) resetByPeer(code Code) {
	s.failLocked(remoteFailure(code))
}

// interrupt makes all calls fail from now on.
func (s *core) interrupt() {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	why := &codec.Failure{Reason: codec.Interrupted}
	s.readErr, s.writeErr = why, why
	s.dropLocked()
	s.wake.Broadcast()
}

// endInLocked notes that the peer has sent all of its message.
func (s *core) endInLocked() {
	s.ended = true
	if s.finished {
		s.c.forgetLocked(s, false)
	}
	s.wake.Broadcast()
}

// endOutLocked notes that our message is queued whole.
func (s *core) endOutLocked() {
	s.finished = true
	if s.ended {
		s.c.forgetLocked(s, false)
	}
}

// cutLocked resets a stream whose messages aren't both whole, and forgets it.
func (s *core) cutLocked(code Code) {
	if s.c.streams[s.id] != s {
		return
	}
	s.c.forgetLocked(s, true)
	if err := s.c.sendResetLocked(s.id, code); err != nil {
		s.c.failLocked(err)
		s.c.stopLocked()
	}
}

// trailersInto moves the trailers, if there were any.
func (s *core) trailersInto(f *stream.Fields) {
	if s.trailers != nil && f != nil {
		*f, s.trailers.fields = s.trailers.fields, *f
		s.trailers.free()
	}
	s.trailers = nil
}
