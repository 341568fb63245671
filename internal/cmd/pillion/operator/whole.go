package operator

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync"
)

// net/http hands an answer to TLS in pieces, its headers with the first 4 KiB and then the rest, and TLS writes each
// piece. Every write is a system call, at least one packet, and wakes up whoever waits for the answer. Here the pieces
// of one answer become one write.

// wholeListener's connections can gather what is written to them.
type wholeListener struct{ net.Listener }

// Accept is net.Listener's.
func (l wholeListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &wholeConn{Conn: c}, nil
}

// wholeConn is what TLS writes its records to.
type wholeConn struct {
	net.Conn
	mu        sync.Mutex // TLS also answers to what it reads
	gathering bool
	gathered  []byte
}

// maxGathered is how much a connection keeps; a typical answer takes 10 KiB.
const maxGathered = 64 << 10

// Write is net.Conn's.
func (c *wholeConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gathering && len(c.gathered)+len(b) <= maxGathered {
		c.gathered = append(c.gathered, b...)
		return len(b), nil
	}
	if err := c.flush(); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

// flush writes what is gathered. c is locked.
func (c *wholeConn) flush() error {
	if len(c.gathered) == 0 {
		return nil
	}
	_, err := c.Conn.Write(c.gathered)
	c.gathered = c.gathered[:0]
	return err
}

// gather starts or ends gathering; at its end all is written.
func (c *wholeConn) gather(on bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gathering = on
	if on {
		return nil
	}
	return c.flush()
}

type wholeKey struct{}

// withConn is http.Server.ConnContext: handlers find the connection there.
func withConn(ctx context.Context, c net.Conn) context.Context {
	if c, ok := c.(*tls.Conn); ok {
		if whole, ok := c.NetConn().(*wholeConn); ok {
			return context.WithValue(ctx, wholeKey{}, whole)
		}
	}
	return ctx
}

// wholeAnswers gives a handler a writer whose every Write is one of the connection.
type wholeAnswers struct{ next http.Handler }

func (h wholeAnswers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if c, ok := r.Context().Value(wholeKey{}).(*wholeConn); ok {
		w = &wholeWriter{w, c}
	}
	h.next.ServeHTTP(w, r)
}

type wholeWriter struct {
	http.ResponseWriter
	conn *wholeConn
}

// Unwrap is for http.ResponseController.
func (w *wholeWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Write is io.Writer's. What net/http keeps of it, it writes when the handler returns.
func (w *wholeWriter) Write(b []byte) (int, error) {
	if err := w.conn.gather(true); err != nil {
		return 0, err
	}
	n, err := w.ResponseWriter.Write(b)
	return n, errors.Join(err, w.conn.gather(false))
}
