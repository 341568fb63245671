package h2

import (
	"context"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/http/codec"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// Handler carries out one request, in a goroutine that has nothing else to do meanwhile. When it returns, a stream whose answer isn't whole is
// reset.
type Handler func(*ServerStream)

// Server is one client's connection.
type Server struct {
	conn
	handler Handler
}

// NewServer returns the server side of nc. Each request goes to handler.
func NewServer(nc net.Conn, o Options, handler Handler) *Server {
	s := &Server{handler: handler}
	s.init(nc, o, false)
	s.head = s.onRequest
	settings := []settingValue{{settingStreams, s.opts.MaxStreams}}
	if s.opts.AllowConnect {
		settings = append(settings, settingValue{settingConnect, 1})
	}
	s.greet(settings...) // SETTINGS comes first, also if Drain is called before Serve
	return s
}

// Serve carries the connection until it is over and all handlers have returned. The error says why it ended: an *Error
// if the client broke a rule, else the network's; nil after Drain, and for a client that closed without open streams.
func (s *Server) Serve() error {
	err := s.run()
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.active > 0 {
		s.changed.Wait()
	}
	return err
}

// Streams is the number of requests being worked on.
func (s *Server) Streams() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.active
}

// onRequest takes a decoded head.
func (s *Server) onRequest(h frameHeader) error {
	m := s.in.msg
	m.checkRequest(s.opts.AllowConnect)
	s.mu.Lock()
	defer s.mu.Unlock()
	if h.stream <= s.highest {
		m.free()
		return s.lateHead(h.stream)
	}
	if s.beyondLocked(h.stream) || s.dead != nil {
		m.free()
		return nil // GOAWAY told that it would not be looked at
	}
	s.highest = h.stream
	if refused, err := s.refuseLocked(h, m); refused {
		s.tell(m, h.has(flagEndStream))
		return err
	}
	s.startLocked(h, m)
	return nil
}

// lateHead answers HEADERS for a stream that was there before, or was skipped.
func (s *Server) lateHead(id uint32) error {
	there, ours := s.closed.find(id)
	switch {
	case ours:
		return nil // sent before the client knew
	case there:
		return broken(StreamClosed, "HEADERS after the end")
	case s.closed.full():
		return s.resetLocked(id, StreamClosed, "HEADERS after the end")
	}
	return broken(ProtocolError, "a stream with a lower number than the one before")
}

// refuseLocked answers a request that isn't handed out.
func (s *Server) refuseLocked(h frameHeader, m *message) (bool, error) {
	switch end := h.has(flagEndStream); {
	case m.tooLarge():
		s.opts.Counters.HeadsTooLarge.Add(1)
		return true, s.answerTooLarge(h.stream, end)
	case m.wrong != "":
		return true, s.resetLocked(h.stream, ProtocolError, m.wrong)
	case end && m.length > 0:
		return true, s.resetLocked(h.stream, ProtocolError, "content_length")
	case s.active >= int(s.opts.MaxStreams):
		s.opts.Counters.Refused.Add(1)
		s.closed.add(h.stream, true)
		return true, s.sendResetLocked(h.stream, RefusedStream)
	}
	return false, nil
}

// tell says that a request broke a rule, if it did.
func (s *Server) tell(m *message, end bool) {
	why := m.failure(end)
	if why == nil || s.opts.Refused == nil {
		m.free()
		return
	}
	var r stream.Request
	m.into(&r, end)
	s.opts.Refused(&r, why)
}

// failure is the rule a head breaks, nil if it is a good one.
func (m *message) failure(end bool) *codec.Failure {
	switch {
	case m.count > m.maxFields:
		return &codec.Failure{Reason: codec.Protocol, Status: http.StatusRequestHeaderFieldsTooLarge, Details: "http2.too_many_headers"}
	case m.tooLarge():
		return &codec.Failure{Reason: codec.Protocol, Status: http.StatusRequestHeaderFieldsTooLarge, Details: "http2.headers_too_large"}
	case m.wrong != "":
		return &codec.Failure{Reason: codec.Protocol, Details: "http2." + m.wrong}
	case end && m.length > 0:
		return &codec.Failure{Reason: codec.Protocol, Details: "http2.content_length"}
	}
	return nil
}

// answerTooLarge sends 431 at once, and takes no more of the request.
func (s *Server) answerTooLarge(id uint32, ended bool) error {
	s.closed.add(id, true)
	refused := &core{c: &s.conn, id: id}
	b := refused.beginBlock()
	b.add(":status", statusTexts[431-100])
	b.addInt("content-length", 0)
	b.end(true)
	if ended {
		return s.answerLocked(func(out []byte) []byte { return out })
	}
	return s.sendResetLocked(id, NoError)
}

func (s *Server) startLocked(h frameHeader, m *message) {
	x := &ServerStream{head: m, server: s}
	x.openLocked(&s.conn, h.stream)
	x.opened = time.Now()
	x.headCome, x.length, x.upgraded = true, m.length, m.protocol != ""
	x.ended = h.has(flagEndStream)
	s.active++
	s.timer.busy()
	s.opts.Crew.do(x)
}

func (s *Server) handle(x *ServerStream) {
	defer x.finish()
	s.handler(x)
}

// settle lets the connection go when nothing is left to do on it.
func (c *conn) settle() {
	if c.active > 0 {
		return
	}
	c.timer.idle()
	c.changed.Broadcast()
	if c.away.last {
		c.stopLocked()
	}
}

// Close ends the connection and all requests on it at once.
func (s *Server) Close() { s.abort() }

// Shutdown drains, and closes what is left when ctx ends.
func (s *Server) Shutdown(ctx context.Context) {
	s.Drain()
	stop := context.AfterFunc(ctx, s.Close)
	defer stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.dead == nil || s.active > 0 {
		s.changed.Wait()
	}
}

// into moves a request's head to where the core wants it.
func (m *message) into(r *stream.Request, end bool) {
	r.Method, r.Scheme, r.Authority, r.Path = m.method, m.scheme, m.authority, m.path
	r.Fields, m.fields = m.fields, r.Fields
	m.addCookies(&r.Fields)
	r.HasBody, r.Length = !end, m.length
	if end {
		r.Length = 0
	}
	if m.protocol != "" { // as an HTTP/1.1 client would have asked for it
		r.Method, r.Upgrade, r.HasBody, r.Length = http.MethodGet, strings.ToLower(m.protocol), false, 0
		r.Fields.Add("upgrade", r.Upgrade)
	}
	m.free()
}
