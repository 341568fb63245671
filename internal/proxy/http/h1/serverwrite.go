package h1

// What a Server writes, and how its connection ends.
import (
	"net/http"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/http/codec"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// WriteHead implements codec.Downstream.
func (s *Server) WriteHead(r *stream.Response, end bool) error {
	if r.Status < 200 && r.Status != http.StatusSwitchingProtocols {
		return s.informational(r)
	}
	s.answer.end = end
	chunk, length, ends := s.answer.responsePlan(r)
	if ends {
		s.Close = true
	}
	s.answer.close = s.Close
	s.answered = true
	s.out.chunk, s.out.length, s.out.whole = chunk, length, false
	s.writeHead(r, chunk, length)
	switch {
	case r.Status == http.StatusSwitchingProtocols, s.answer.method == http.MethodConnect && r.Status/100 == 2:
		s.in.begin(byClose, 0, &s.x.RequestTrailers)
		return s.out.flush()
	case end:
		s.out.whole = true
		return s.out.flush()
	}
	return nil
}

func (s *Server) writeHead(r *stream.Response, chunk bool, length int64) {
	before := s.out.start()
	after := s.answer.appendResponse(before, r, chunk, length)
	respell(after[len(before):], r.Case)
	s.out.grown(after)
}

// informational answers reach only who knows them.
func (s *Server) informational(r *stream.Response) error {
	if s.answer.minor == 0 {
		return nil
	}
	s.writeHead(r, false, -1)
	return s.out.flush()
}

// WriteBody implements codec.Writer.
func (s *Server) WriteBody(piece []byte, end bool) error {
	if s.bodiless() {
		s.out.whole = s.out.whole || end
		return s.out.flush()
	}
	err := s.out.body(piece, end)
	if end && err == nil && s.in.kind == byClose {
		return s.socket.closeWrite()
	}
	return err
}

// bodiless reports whether the answer may have no body, whatever its head says.
func (s *Server) bodiless() bool {
	return s.answer.method == http.MethodHead || s.out.length == 0 && !s.out.chunk
}

// WriteTrailers implements codec.Writer.
func (s *Server) WriteTrailers(t *stream.Fields) error { return s.out.trailerFields(t) }

// Flush implements codec.Writer.
func (s *Server) Flush() error { return s.out.flush() }

// Reset implements codec.Downstream. The connection is reset, not closed: an answer that ends with it would look whole.
func (s *Server) Reset(codec.Reason) {
	s.cut, s.Close = true, true
	if c, ok := s.socket.conn.(interface{ SetLinger(int) error }); ok {
		_ = c.SetLinger(0)
	}
	_ = s.socket.conn.SetDeadline(time.Unix(1, 0))
}

// Interrupt implements codec.Downstream.
func (s *Server) Interrupt() { _ = s.socket.conn.SetDeadline(time.Unix(1, 0)) }

// Resume takes an Interrupt back.
func (s *Server) Resume() { _ = s.socket.conn.SetDeadline(time.Time{}) }
