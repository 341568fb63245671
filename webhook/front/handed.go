package front

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
)

// handover is the listener net/http gets: it accepts only what was passed on.
type handover struct {
	net.Listener
	passed chan accepted
	done   chan struct{}
	once   sync.Once
}

type accepted struct {
	conn net.Conn
	err  error
}

// newHandover serves each of l's connections, which may be passed on.
func newHandover(l net.Listener, serve func(c net.Conn, pass func(net.Conn))) *handover {
	h := &handover{Listener: l, passed: make(chan accepted), done: make(chan struct{})}
	go h.run(serve)
	return h
}

// run ends with the listener. What can't be accepted is net/http's to tell and to wait after.
func (h *handover) run(serve func(net.Conn, func(net.Conn))) {
	pass := func(c net.Conn) { h.give(accepted{conn: c}) }
	for {
		c, err := h.Listener.Accept()
		if err == nil {
			go serve(c, pass)
		} else if !h.give(accepted{err: err}) {
			return
		}
	}
}

// give is false if nobody takes anything any more.
func (h *handover) give(a accepted) bool {
	select {
	case h.passed <- a:
		return true
	case <-h.done:
		if a.conn != nil {
			_ = a.conn.Close()
		}
		return false
	}
}

// Accept is net.Listener's.
func (h *handover) Accept() (net.Conn, error) {
	select {
	case a := <-h.passed:
		return a.conn, a.err
	case <-h.done:
		return nil, net.ErrClosed
	}
}

// Close is net.Listener's.
func (h *handover) Close() error {
	err := h.Listener.Close()
	h.once.Do(func() { close(h.done) })
	return err
}

// handed is a connection that is net/http's from now on: what was read of it comes once more.
type handed struct {
	*tls.Conn
	ctx  context.Context
	read []byte
	once sync.Once
	gone func()
}

func handedContext(ctx context.Context, c net.Conn) context.Context {
	if h, ok := c.(*handed); ok {
		return h.ctx
	}
	return ctx
}

// Read is net.Conn's.
func (h *handed) Read(b []byte) (int, error) {
	if len(h.read) == 0 {
		return h.Conn.Read(b)
	}
	n := copy(b, h.read)
	h.read = h.read[n:]
	return n, nil
}

// Close is net.Conn's.
func (h *handed) Close() error {
	h.once.Do(h.gone)
	return h.Conn.Close()
}
