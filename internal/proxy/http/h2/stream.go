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
	opened time.Time // a server's only
	wake   sync.Cond // anything below has changed
	onGone func()    // see ServerStream.OnGone
	tells  bool      // onGone is being called

	interrupted bool
	owner       *ClientStream // nil on a server

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
	s.id, s.length = id, -1
	if s.c == nil { // a client's stream knows it from the start: its Interrupt may be called before it is open
		s.c, s.wake.L = c, &c.mu
	}
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
		s.tellLocked()
	}
	s.wake.Broadcast()
}

// tellLocked calls onGone, on a goroutine of its own: it may lock what is locked here.
func (s *core) tellLocked() {
	gone := s.onGone
	if s.onGone = nil; gone == nil {
		return
	}
	s.tells = true
	go func() {
		gone()
		s.c.mu.Lock()
		defer s.c.mu.Unlock()
		s.tells = false
		s.wake.Broadcast()
	}()
}

// hushLocked makes sure that onGone isn't being called, nor will be.
func (s *core) hushLocked() {
	s.onGone = nil
	for s.tells {
		s.wake.Wait()
	}
}

var errInterrupted = &codec.Failure{Reason: codec.Interrupted}

// readFailure and writeFailure are what calls fail with now; nil: they don't.
func (s *core) readFailure() *codec.Failure {
	if s.interrupted {
		return errInterrupted
	}
	return s.readErr
}

func (s *core) writeFailure() *codec.Failure {
	if s.interrupted {
		return errInterrupted
	}
	return s.writeErr
}

// resetByPeer ends a stream after RST_STREAM. What came whole before may still be read: a server that needs no more of
// a request answers, then resets with NO_ERROR. Who still writes then learns only that nobody takes it.
func (s *core) resetByPeer(code Code) {
	why := remoteFailure(code)
	if s.ended && s.owner != nil {
		why = &codec.Failure{Reason: codec.Termination, Details: "answered before the request's end"}
	}
	s.failLocked(why)
}

// interrupt makes all calls fail until it is taken back.
func (s *core) interrupt() {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.interrupted = true
	s.wake.Broadcast()
	s.c.changed.Broadcast()
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
