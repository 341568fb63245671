// Package front serves HTTPS to API servers that call webhooks. It answers what they send, plain POSTs over HTTP/1.1, by
// itself: mostly with one read and one write of the connection, and without the goroutine, context and copies that
// net/http has for each request, which are a sixth of what an admission takes. A connection that brings anything else,
// and be it a header nobody thought of, becomes net/http's, with all that was read of it.
//
// A listener comes in, and the handler's answers go out. Read this file first, then conn.go; head.go says what a plain
// request is, answer.go writes answers, handed.go passes connections on.
package front

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
)

// Server is an http.Server with a front. The settings of HTTP hold for all connections: all its times, and TLSConfig,
// which is needed. Its ConnContext and ConnState are not used.
type Server struct {
	HTTP        *http.Server
	KeepAlive   bool                                                  // connections may have a second request
	ConnContext func(ctx context.Context, c net.Conn) context.Context // before a connection's handshake; nil: none
	Mine        func(path string) bool                                // whose requests are answered here: nobody tells their handlers when a caller goes; nil: all
	Count       func(n int)                                           // told that n connections have come, or gone if it's -1; nil: nobody counts

	mu     sync.Mutex
	closed bool
	conns  map[*conn]struct{} // those that aren't net/http's
	left   chan struct{}      // closed when the last of them goes; nil: nobody waits
}

// Serve accepts connections until the server is closed. Its error is never nil; it is http.ErrServerClosed then.
func (s *Server) Serve(l net.Listener) error {
	s.HTTP.ConnContext = handedContext
	h := newHandover(l, s.serve)
	defer func() { _ = h.Close() }()
	return s.HTTP.Serve(h)
}

// Shutdown accepts nothing more, closes connections without a request, and returns when the others had their answers or
// ctx ends, whose error it returns then.
func (s *Server) Shutdown(ctx context.Context) (err error) {
	others := make(chan error, 1)
	go func() { others <- s.HTTP.Shutdown(ctx) }()
	select {
	case <-s.end((*conn).finish):
	case <-ctx.Done():
		err = ctx.Err()
	}
	return errors.Join(err, <-others)
}

// Close ends all connections at once, also those with a request, and waits for nothing.
func (s *Server) Close() error {
	err := s.HTTP.Close()
	s.end(func(c *conn) { _ = c.raw.Close() })
	return err
}

// end does something with each connection; none comes from now on. It returns what is closed when all are gone.
func (s *Server) end(each func(*conn)) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.left == nil {
		s.left = make(chan struct{})
		if len(s.conns) == 0 {
			close(s.left)
		}
	}
	for c := range s.conns {
		each(c)
	}
	return s.left
}

// serve has one connection, until it ends or is passed on.
func (s *Server) serve(raw net.Conn, pass func(net.Conn)) {
	c := newConn(s, raw)
	if !s.add(c) {
		_ = raw.Close()
		return
	}
	s.count(1)
	to := c.serve()
	s.remove(c)
	if to == nil {
		_ = raw.Close()
		s.count(-1)
		return
	}
	pass(to)
}

func (s *Server) count(n int) {
	if s.Count != nil {
		s.Count(n)
	}
}

func (s *Server) add(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	if s.conns == nil {
		s.conns = map[*conn]struct{}{}
	}
	s.conns[c] = struct{}{}
	return true
}

func (s *Server) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if len(s.conns) == 0 && s.left != nil {
		close(s.left)
	}
}
