package h1

import (
	"strings"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// Head reads the rest of a request's head into x. Its error is a *codec.Failure: with a Status it is to be answered
// (x holds what was understood), and the connection has no future.
func (s *Server) Head(x *stream.Exchange) error {
	s.start(x)
	s.skipEmptyLine()
	if s.opts.PreserveCase {
		if err := s.wholeHead(); err != nil {
			return s.broken(err)
		}
		x.Request.Case = spelled(s.in.rest)
	}
	for {
		n, err := parseRequest(s.in.rest, s.opts.Limits, &x.Request, &s.in.head)
		if n > 0 && err == nil {
			err = s.accept(x)
		}
		if err != nil {
			return s.refused(x, err)
		}
		if n > 0 {
			s.in.rest = s.in.rest[n:]
			s.begin(x)
			return nil
		}
		x.Request.Fields.Clear()
		if err := s.moreHead(); err != nil {
			return s.broken(err)
		}
	}
}

// moreHead reads on until the head looks whole: parsing it anew for every byte would let a slow sender keep us busy.
func (s *Server) moreHead() error {
	for {
		before := len(s.in.rest)
		if err := s.in.more(); err != nil {
			return err
		}
		if len(s.in.rest) >= s.opts.Limits.Bytes || endsHead(s.in.rest[max(0, before-3):]) {
			return nil
		}
	}
}

// wholeHead reads on until the head is there, without a look at what it says.
func (s *Server) wholeHead() error {
	if !partial(s.in.rest, s.opts.Limits) || strings.HasPrefix(view(s.in.rest), preface) {
		return nil
	}
	return s.moreHead()
}

func endsHead(b []byte) bool {
	return strings.Contains(view(b), "\n\r\n") || strings.Contains(view(b), "\n\n")
}

// preface is how a connection of HTTP/2 begins (RFC 9113 3.4), up to where a head of HTTP/1 is refused.
const preface = "PRI * HTTP/2.0"

// Preface gives away what was read if Head has refused HTTP/2's preface; else it returns nil.
func (s *Server) Preface() []byte {
	if !strings.HasPrefix(view(s.in.rest), preface) {
		return nil
	}
	read := append([]byte(nil), s.in.rest...)
	s.in.rest = nil
	s.in.finish()
	return read
}

// skipEmptyLine forgives an empty line before a request (RFC 9112 2.2).
func (s *Server) skipEmptyLine() {
	if len(s.in.rest) >= 2 && s.in.rest[0] == '\r' && s.in.rest[1] == '\n' {
		n := copy(s.in.headBuf.b, s.in.rest[2:])
		s.in.rest = s.in.headBuf.b[:n]
	}
}

// accept checks what depends on the options.
func (s *Server) accept(x *stream.Exchange) error {
	h, r := &s.in.head, &x.Request
	if h.minor == 0 {
		if !s.opts.HTTP10 {
			return errOldVersion
		}
		if r.Authority == "" {
			if r.Authority = s.opts.DefaultHost; r.Authority == "" {
				return errNoHost
			}
		}
	}
	if h.expect != "" && !strings.EqualFold(h.expect, "100-continue") {
		return errExpectation
	}
	if h.underscore {
		return s.underscores(&r.Fields)
	}
	return nil
}

func (s *Server) underscores(f *stream.Fields) error {
	switch s.opts.Underscores {
	case config.UnderscoresReject:
		return errUnderscore
	case config.UnderscoresDrop:
		for i := f.Len() - 1; i >= 0; i-- {
			if name := f.At(i).Name; strings.IndexByte(name, '_') >= 0 {
				f.Remove(name)
				i = min(i, f.Len())
			}
		}
	}
	return nil
}

// begin is after a head was understood.
func (s *Server) begin(x *stream.Exchange) {
	h, r := &s.in.head, &x.Request
	x.Protocol = stream.HTTP11
	if h.minor == 0 {
		x.Protocol = stream.HTTP10
	}
	kind := noBody
	switch {
	case r.Upgrade != "" && r.HasBody:
		r.Upgrade = "" // a body comes before the new protocol would: nobody does that
		r.Fields.Remove("upgrade")
		fallthrough
	default:
		if h.encodings > 0 {
			kind, r.Length = byChunks, -1
		} else if r.Length > 0 {
			kind = byLength
		}
	}
	s.in.begin(kind, r.Length, &x.RequestTrailers)
	s.Close = !h.persistent()
	s.answer = answer{method: r.Method, minor: h.minor}
}

// refused remembers that a broken request ends the connection.
func (s *Server) refused(x *stream.Exchange, err error) error {
	s.Close = true
	s.answer = answer{method: x.Request.Method, minor: 1}
	s.in.begin(byClose, 0, &x.RequestTrailers)
	x.Protocol = stream.HTTP11
	return failure(err)
}

// broken is a connection that ended within a head. Nobody waits for an answer.
func (s *Server) broken(err error) error {
	s.Close, s.cut = true, true
	return failure(err)
}
