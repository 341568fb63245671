package tcp

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
)

// side is one of a pair's two connections.
type side struct {
	conn   io.ReadWriter   // bytes go through it: a socket, TLS over one, or a tunnel
	raw    syscall.RawConn // the socket's; nil: a tunnel's
	socket bare            // nil: a tunnel's
	tunnel Tunnel          // nil: it isn't one
	plain  bool            // conn is the socket: the kernel can move its bytes
	closer io.Closer       // closes conn and whatever counts it

	// greet reads what the peer says before its payload; nil: nothing. Its error ends the pair.
	greet func() error
}

// bare is a socket: *socket.Conn, *net.UnixConn, or one of net's for TCP.
type bare interface {
	net.Conn
	CloseWrite() error
	SyscallConn() (syscall.RawConn, error)
}

// newSide returns the side of a socket or a *tls.Conn over one.
func newSide(conn net.Conn, closer io.Closer) (*side, error) {
	s := &side{conn: conn, closer: closer}
	under := conn
	if secure, ok := conn.(*tls.Conn); ok {
		under = secure.NetConn()
	}
	var ok bool
	if s.socket, ok = under.(bare); !ok {
		return nil, fmt.Errorf("a %T can't be relayed", under)
	}
	s.plain = conn == under
	raw, err := s.socket.SyscallConn()
	s.raw = raw
	return s, err
}

// tunnelSide returns the side of a tunnel.
func tunnelSide(t Tunnel) *side { return &side{conn: t, tunnel: t, closer: interrupter{t}} }

// interrupter closes a tunnel for those who read it or write to it: to be closed it must have been left by both.
type interrupter struct{ Tunnel }

func (i interrupter) Close() error {
	i.Interrupt()
	return nil
}

// closeWrite tells the peer that no more comes: FIN, TLS's close_notify, or the end of a stream.
func (s *side) closeWrite() error {
	if s.tunnel != nil {
		return s.tunnel.CloseWrite()
	}
	if secure, ok := s.conn.(*tls.Conn); ok {
		return secure.CloseWrite()
	}
	return s.socket.CloseWrite()
}

// abort closes the socket with a reset; TLS says no more, for close_notify would be the proper end.
func (s *side) abort() {
	if s.tunnel != nil {
		return // closing it before its end resets it
	}
	if t, ok := s.socket.(interface{ SetLinger(int) error }); ok {
		_ = t.SetLinger(0)
	}
	if !s.plain {
		_ = s.socket.Close()
	}
}

// isEnd reports whether a read's error is the end of data. A TLS peer that closes without close_notify is taken at its
// word, as Envoy does: many do.
func isEnd(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }
