package h2

import (
	"net/http"

	"github.com/pillion-mesh/pillion/internal/proxy/http/codec"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

var _ codec.Upstream = (*ClientStream)(nil)

// ClientStream is a request to a server and its answer. WriteHead comes first, Close last.
type ClientStream struct {
	core
	client *Client
	x      *stream.Exchange
	method string
	heads  []*message // 1xx and the answer's, not yet read
	reply  bool       // a byte of the answer came
	closed bool
}

// maxInterim is how many 1xx may wait to be read.
const maxInterim = 8

// WriteHead implements codec.Upstream: it opens the stream.
func (s *ClientStream) WriteHead(r *stream.Request, end bool) error {
	c := s.client
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.wakeWriters()
	if r.Upgrade != "" {
		s.awaitSettingsLocked()
	}
	if err := s.roomLocked(); err != nil {
		return err
	}
	switch {
	case c.dead != nil || c.away.last && !c.away.asked:
		return errNoStream
	case r.Upgrade != "" && !c.peer.connect:
		return &codec.Failure{Reason: codec.LocalReset, Details: "the server knows no extended CONNECT"}
	case s.headSent:
		return &codec.Failure{Reason: codec.LocalReset, Details: "a second head"}
	}
	s.method, s.upgraded = r.Method, r.Upgrade != ""
	s.openLocked(&c.conn, c.nextID)
	s.owner = s
	c.highest, c.nextID = c.nextID, c.nextID+2
	s.requestLocked(r, end && !s.upgraded && r.Method != http.MethodConnect)
	if end {
		c.flushLocked()
	}
	return nil
}

// awaitSettingsLocked waits until the server has said what it knows, or the stream has ended.
func (s *ClientStream) awaitSettingsLocked() {
	for !s.client.peer.come && s.client.dead == nil && s.writeFailure() == nil {
		s.client.changed.Wait()
	}
}

// ReadHead implements codec.Upstream.
func (s *ClientStream) ReadHead(r *stream.Response) (end bool, err error) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	for len(s.heads) == 0 {
		if err := s.readFailure(); err != nil {
			return false, err
		}
		s.wake.Wait()
	}
	m := s.heads[0]
	s.heads = append(s.heads[:0], s.heads[1:]...)
	r.Status, r.Length = m.status, m.length
	r.Fields.Clear()
	r.Fields, m.fields = m.fields, r.Fields
	m.free()
	if s.upgraded && r.Status/100 == 2 { // RFC 8441; the core knows HTTP/1.1's way
		r.Status = http.StatusSwitchingProtocols
	}
	return s.headCome && s.ended && len(s.heads) == 0 && len(s.pieces.list) == 0 && s.trailers == nil, nil
}

// wrongHead returns the rule a head breaks.
func (s *ClientStream) wrongHead(m *message, end bool) string {
	interim := m.status >= 100 && m.status < 200
	switch {
	case s.ended:
		return "after_end"
	case m.wrong != "":
		return m.wrong
	case m.tooLarge():
		return "headers_too_large"
	case interim && (end || len(s.heads) >= maxInterim):
		return "informational"
	case end && m.length > 0 && !s.bodiless(m.status):
		return "content_length"
	}
	return ""
}

// bodiless reports whether an answer with this status has no body, whatever its length says.
func (s *ClientStream) bodiless(status int) bool {
	return s.method == http.MethodHead || status == http.StatusNoContent || status == http.StatusNotModified
}

// headLocked hands a head to ReadHead.
func (s *ClientStream) headLocked(m *message, end bool) {
	s.reply = true
	s.heads = append(s.heads, m)
	if m.status >= 200 {
		s.headCome, s.length = true, m.length
		if s.bodiless(m.status) {
			s.length = 0
		}
		if s.method == http.MethodConnect && m.status/100 == 2 {
			s.length = -1 // RFC 9110 8.6: what comes is no content
		}
	}
	if end {
		s.endInLocked()
	}
	s.wake.Broadcast()
}

// ReadBody implements codec.Reader.
func (s *ClientStream) ReadBody() (piece []byte, end bool, err error) {
	return s.readBody(&s.x.ResponseTrailers)
}

// Ready implements codec.Reader.
func (s *ClientStream) Ready() bool { return s.ready() }

// WriteBody implements codec.Writer.
func (s *ClientStream) WriteBody(piece []byte, end bool) error { return s.writeBody(piece, end) }

// WriteTrailers implements codec.Writer.
func (s *ClientStream) WriteTrailers(t *stream.Fields) error { return s.writeTrailers(t) }

// Flush implements codec.Writer.
func (s *ClientStream) Flush() error { return s.flush() }

// Written implements codec.Upstream. A stream the server refused counts: the failure's reason tells that it wasn't
// processed.
func (s *ClientStream) Written() bool {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return s.headSent
}

// Answered implements codec.Upstream.
func (s *ClientStream) Answered() bool {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return s.reply
}

// Interrupt implements codec.Upstream.
func (s *ClientStream) Interrupt() { s.interrupt() }

// Close implements codec.Upstream.
func (s *ClientStream) Close() {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	if s.headSent {
		s.cutLocked(Cancel)
		s.failLocked(&codec.Failure{Reason: codec.LocalReset})
		s.releaseLocked()
		s.dropLocked()
	}
	for _, m := range s.heads {
		m.free()
	}
	s.heads = nil
	s.trailersInto(nil)
	c.active--
	c.settle()
	c.flushLocked()
}
