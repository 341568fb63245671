// Package h1 is HTTP/1.1 on the wire. Bytes of connections come in; heads in the types of package stream and pieces of
// bodies go out, and the same the other way. Server is a client's connection, Client one to a server; both are what
// package codec asks for. Everything is strict: two readings of one message are refused, not repaired.
//
// Read this file first, with serverhead.go and serverwrite.go, then client.go; request.go, response.go and fields.go parse, write.go writes, input.go and
// output.go are the halves of a connection, socket.go its system calls.
package h1

import (
	"net"
	"net/http"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/http/codec"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

var _ codec.Downstream = (*Server)(nil)

// ServerOptions are what a filter chain says of its clients' HTTP/1.1.
type ServerOptions struct {
	Limits      Limits
	HTTP10      bool   // accept_http_10
	DefaultHost string // of HTTP/1.0 requests without Host; empty: they are refused
	Underscores config.Underscores
	// PreserveCase notes how clients spell the names of fields.
	PreserveCase bool
}

// Server is one client's connection. One goroutine calls Await, Head, then the methods of codec.Downstream, then Finish,
// and again from the start.
type Server struct {
	socket socket
	in     input
	out    output
	opts   ServerOptions
	x      *stream.Exchange
	answer answer

	// Close ends the connection after the present answer, which says so: set it before WriteHead.
	Close bool

	// Of Await. The callback is made once.
	tryServe func(fd uintptr) bool
	inPlace  func() bool
	awaitErr error

	answered bool // the final head was written
	cut      bool // Reset was called, or the message broke
}

// NewServer returns the server side of conn.
func NewServer(conn net.Conn, o ServerOptions) *Server {
	o.Limits = o.Limits.withDefaults()
	s := &Server{opts: o}
	s.socket.init(conn)
	s.in.socket, s.in.lim, s.in.size = &s.socket, o.Limits, smallSize
	s.out.socket = &s.socket
	s.tryServe = s.serveOnce
	return s
}

// Await waits for the first bytes of a request. io.EOF is a client that is done. While it waits no buffer is held.
//
// On a bare TCP connection inPlace is called with what came, within the read that found it: if it has served all of that
// (TakeWhole, the answer, Finish) it returns true, and waiting goes on without asking the kernel again whether there is
// more, since a read that came back short has emptied the socket, and what came later wakes us. It must neither read
// from the connection nor close it. With false Await returns.
func (s *Server) Await(inPlace func() bool) error {
	if s.socket.raw == nil || len(s.in.rest) > 0 {
		return s.in.await()
	}
	s.inPlace = inPlace
	if err := s.socket.raw.Read(s.tryServe); err != nil {
		return err
	}
	return s.awaitErr
}

// serveOnce is Await's try to read and serve.
func (s *Server) serveOnce(fd uintptr) bool {
	s.socket.want = smallSize
	if !s.socket.readOnce(fd) {
		return false
	}
	got, n := s.socket.got, s.socket.n
	s.socket.got = nil
	if s.awaitErr = s.socket.rerr; s.awaitErr != nil || n == 0 {
		giveBack(got)
		s.awaitErr = orEOF(s.awaitErr)
		return true
	}
	s.socket.received += uint64(n) //nolint:gosec // not negative
	s.in.headBuf, s.in.rest = got, got.b[:n]
	return n == len(got.b) || !s.inPlace()
}

// TakeWhole is Head for a request that is here with all its body, and asks for nothing special. If it isn't, false
// leaves everything to Head.
func (s *Server) TakeWhole(x *stream.Exchange) bool {
	if s.opts.PreserveCase {
		return false
	}
	n, err := parseRequest(s.in.rest, s.opts.Limits, &x.Request, &s.in.head)
	if n == 0 || err != nil || !s.plain(&x.Request, int64(len(s.in.rest)-n)) || s.accept(x) != nil {
		x.Request.Fields.Clear()
		return false
	}
	s.start(x)
	s.in.rest = s.in.rest[n:]
	s.begin(x)
	return true
}

// plain reports whether a request can be served without reading on: behind are the bytes behind its head.
func (s *Server) plain(r *stream.Request, behind int64) bool {
	h := &s.in.head
	return h.encodings == 0 && h.expect == "" && r.Upgrade == "" && r.Method != http.MethodConnect && r.Length <= behind
}

// start forgets the last request.
func (s *Server) start(x *stream.Exchange) {
	s.x, s.answered, s.cut = x, false, false
	s.out.whole, s.out.failed = false, nil
}

// Buffered reports whether bytes of another request are here already.
func (s *Server) Buffered() bool { return len(s.in.rest) > 0 }

// ReadBody implements codec.Reader.
func (s *Server) ReadBody() (piece []byte, end bool, err error) { return s.in.body() }

// Ready implements codec.Reader.
func (s *Server) Ready() bool { return s.in.ready() }

// Finish ends the request. It reports whether another one may follow on the connection.
func (s *Server) Finish() (more bool) {
	more = !s.Close && !s.cut && s.out.whole && s.in.ended && s.out.failed == nil
	s.out.release()
	s.in.finish()
	s.x = nil
	return more
}

// Bounds of a lingering close.
const (
	lingerTime  = time.Second
	lingerBytes = 64 << 10
)

// Linger closes the sending side and reads what the client still sends, for a while: closing at once would reset the
// connection, and the reset could take the last answer from the client.
func (s *Server) Linger() {
	if s.cut || s.socket.closeWrite() != nil {
		return
	}
	_ = s.socket.conn.SetDeadline(time.Now().Add(lingerTime))
	for total := 0; total < lingerBytes; {
		b, n, err := s.socket.readParked(smallSize)
		giveBack(b)
		if err != nil {
			return
		}
		total += n
	}
}

// Unread reports whether the client may still be sending what nobody reads.
func (s *Server) Unread() bool { return !s.in.ended || len(s.in.rest) > 0 }

// Conn is the connection itself.
func (s *Server) Conn() net.Conn { return s.socket.conn }
