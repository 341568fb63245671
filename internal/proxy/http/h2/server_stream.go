package h2

import (
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/http/codec"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

var _ codec.Downstream = (*ServerStream)(nil)

// ServerStream is a client's request and its answer. Head comes first; it is the handler's until that returns.
type ServerStream struct {
	core
	server *Server
	head   *message
	x      *stream.Exchange
}

// ID is the stream's number on its connection.
func (s *ServerStream) ID() uint32 { return s.id }

// Opened is when the head was whole.
func (s *ServerStream) Opened() time.Time { return s.opened }

// Head moves the request's head into x, which also gets the trailers when the body ends. Call it once.
func (s *ServerStream) Head(x *stream.Exchange) {
	s.x = x
	x.Protocol = stream.HTTP2
	s.c.mu.Lock()
	end := s.ended && len(s.pieces.list) == 0 && s.trailers == nil
	s.c.mu.Unlock()
	s.head.into(&x.Request, end)
	s.head = nil
}

// OnGone makes gone be called, at most once, on a goroutine of its own, when the client gives the request up or its
// connection ends before the answer is queued whole; at once if that has happened. nil takes that back: when OnGone
// returns, and when the handler has, gone isn't running and won't.
func (s *ServerStream) OnGone(gone func()) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.hushLocked()
	s.onGone = gone
	if s.writeErr != nil {
		s.tellLocked()
	}
}

// Resume takes an Interrupt back, so that an answer can be written.
func (s *ServerStream) Resume() {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.interrupted = false
}

// LastAnswer asks the client to leave the connection, as Drain does.
func (s *ServerStream) LastAnswer() {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.c.drainLocked()
}

// ReadBody implements codec.Reader.
func (s *ServerStream) ReadBody() (piece []byte, end bool, err error) {
	return s.readBody(&s.x.RequestTrailers)
}

// Ready implements codec.Reader.
func (s *ServerStream) Ready() bool { return s.ready() }

// WriteHead implements codec.Downstream.
func (s *ServerStream) WriteHead(r *stream.Response, end bool) error { return s.writeResponse(r, end) }

// WriteBody implements codec.Writer.
func (s *ServerStream) WriteBody(piece []byte, end bool) error { return s.writeBody(piece, end) }

// WriteTrailers implements codec.Writer.
func (s *ServerStream) WriteTrailers(t *stream.Fields) error { return s.writeTrailers(t) }

// Flush implements codec.Writer.
func (s *ServerStream) Flush() error { return s.flush() }

// Reset implements codec.Downstream.
func (s *ServerStream) Reset(why codec.Reason) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.onGone = nil
	s.cutLocked(resetCode(why))
	s.failLocked(&codec.Failure{Reason: codec.LocalReset})
	s.c.flushLocked()
}

// Interrupt implements codec.Downstream.
func (s *ServerStream) Interrupt() { s.interrupt() }

// finish ends what the handler left open.
func (s *ServerStream) finish() {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.head != nil {
		s.head.free()
		s.head = nil
	}
	s.hushLocked()
	if s.finished {
		s.cutLocked(NoError) // the rest of the request isn't needed
	} else {
		s.cutLocked(InternalError)
	}
	s.failLocked(&codec.Failure{Reason: codec.LocalReset})
	s.releaseLocked()
	s.dropLocked()
	s.trailersInto(nil)
	c.active--
	c.settle()
	c.flushLocked()
}
