package h1

import (
	"io"
	"net"
	"net/http"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/http/codec"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

var _ codec.Upstream = (*Tunnel)(nil)

// Tunnel is a connection that knows nothing of HTTP, as the upstream of a CONNECT that ends here: it answers 200 by
// itself, and what is written and read are its bytes.
type Tunnel struct {
	socket socket
	in     input
	out    output
	closer io.Closer
}

// NewTunnel returns the tunnel over conn. Close closes closer, which closes conn.
func NewTunnel(conn net.Conn, closer io.Closer) *Tunnel {
	t := &Tunnel{closer: closer}
	t.socket.init(conn)
	t.in.socket, t.out.socket = &t.socket, &t.socket
	t.in.begin(byClose, 0, nil)
	t.out.length = -1
	return t
}

// WriteHead implements codec.Upstream: there is nobody to read it.
func (t *Tunnel) WriteHead(*stream.Request, bool) error { return nil }

// ReadHead implements codec.Upstream.
func (t *Tunnel) ReadHead(r *stream.Response) (end bool, err error) {
	r.Status, r.Length = http.StatusOK, -1
	return false, nil
}

// ReadBody implements codec.Reader.
func (t *Tunnel) ReadBody() (piece []byte, end bool, err error) { return t.in.body() }

// Ready implements codec.Reader.
func (t *Tunnel) Ready() bool { return t.in.ready() }

// WriteBody implements codec.Writer. The end is the connection's, in this direction.
func (t *Tunnel) WriteBody(piece []byte, end bool) error {
	if err := t.out.body(piece, end); err != nil || !end {
		return err
	}
	return t.socket.closeWrite()
}

// WriteTrailers implements codec.Writer: bytes have none.
func (t *Tunnel) WriteTrailers(*stream.Fields) error { return t.WriteBody(nil, true) }

// Flush implements codec.Writer.
func (t *Tunnel) Flush() error { return t.out.flush() }

// Written implements codec.Upstream.
func (t *Tunnel) Written() bool { return t.socket.sent.Load() > 0 }

// Answered implements codec.Upstream.
func (t *Tunnel) Answered() bool { return t.socket.received > 0 }

// Interrupt implements codec.Upstream.
func (t *Tunnel) Interrupt() { _ = t.socket.conn.SetDeadline(time.Unix(1, 0)) }

// Close implements codec.Upstream. What didn't come to its end both ways is reset: else the server would take what it
// got for all.
func (t *Tunnel) Close() {
	if !t.in.ended || !t.out.whole {
		abort(t.socket.conn)
	}
	t.out.release()
	t.in.rest = nil
	t.in.finish()
	_ = t.closer.Close()
}

// abort resets a connection. TLS says no more: its close_notify would be the proper end.
func abort(conn net.Conn) {
	secure, _ := conn.(interface{ NetConn() net.Conn })
	if secure != nil {
		conn = secure.NetConn()
	}
	if tcp, ok := conn.(interface{ SetLinger(int) error }); ok {
		_ = tcp.SetLinger(0)
	}
	if secure != nil {
		_ = conn.Close()
	}
}
