package http

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/http/codec"
	"github.com/pillion-mesh/pillion/internal/proxy/http/h1"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
	"github.com/pillion-mesh/pillion/internal/proxy/upstream"
)

// linkTime is how long the answer to a request for a tunnel may take: the other proxy connects meanwhile.
const linkTime = 15 * time.Second

// Link is a tunnel this proxy asked for itself, to carry bytes that aren't HTTP: a tcp.Tunnel.
type Link struct {
	call  *call
	up    codec.Upstream
	rest  []byte // read and not given yet
	ended bool   // nothing comes after rest
}

// Link asks host for a tunnel as ask.Request says: CONNECT, or POST with a body. An answer of 2xx opens it; ask.Upstream
// says over what connection. Errors are a dial's, or that of a tunnel refused. ctx is of the asking only.
func (e *Engine) Link(ctx context.Context, cluster *upstream.Cluster, host *upstream.Host, ask *stream.Exchange) (*Link, error) {
	if !h1.PlainHost(ask.Request.Authority) { // it may have been made of what a client said
		return nil, fmt.Errorf("a tunnel to %q can't be asked for", ask.Request.Authority)
	}
	if !cluster.TryRequest(upstream.DefaultPriority) {
		return nil, upstream.ErrOverflow
	}
	l := &Link{call: e.ownCall(cluster, ask.Conn)}
	c := l.call
	c.x.Request, c.forward.host = ask.Request, host
	c.forward.replayed = true // a connection used before may be closed as the request comes, and CONNECT isn't sent twice
	stats := c.forward.target.stats
	stats.RqTotal.Add(1)
	stats.RqActive.Add(1)
	host.Active.Add(1)
	ctx, cancel := context.WithTimeout(ctx, connectTimeout(c.x.Cluster)+linkTime)
	defer cancel()
	over := context.AfterFunc(ctx, func() { c.cut(routeDeadline.cause()) })
	err := l.ask()
	if !over() && err == nil {
		err = ctx.Err()
	}
	if err == nil && !e.join(l) {
		err = errClosed
	}
	if err != nil {
		l.end()
		return nil, err
	}
	ask.Upstream = c.x.Upstream
	return l, nil
}

// ask sends the request and reads the answer's head.
func (l *Link) ask() error {
	c := l.call
	up, err := c.connectTo(c.forward.host)
	if err != nil {
		return err
	}
	l.up = up
	c.mu.Lock()
	c.up = up
	c.mu.Unlock()
	if c.timers.causes.Load() != 0 { // cut while there was nothing to interrupt
		return context.DeadlineExceeded
	}
	if err := up.WriteHead(&c.x.Request, c.x.Request.Method == http.MethodConnect); err != nil {
		return err
	}
	if err := up.Flush(); err != nil {
		return err
	}
	if l.ended, err = c.finalHead(); err != nil {
		return err
	}
	status := c.x.Response.Status
	c.forward.host.Result(upstream.StatusOutcome(status))
	c.forward.target.stats.Response(status, time.Since(c.x.Start))
	if status/100 != 2 {
		return fmt.Errorf("the tunnel was refused with %d", status)
	}
	return nil
}

// Read implements io.Reader.
func (l *Link) Read(p []byte) (n int, err error) {
	for len(l.rest) == 0 {
		if l.ended {
			return 0, io.EOF
		}
		if l.rest, l.ended, err = l.up.ReadBody(); err != nil {
			return 0, err
		}
	}
	n = copy(p, l.rest)
	l.rest = l.rest[n:]
	return n, nil
}

// Write implements io.Writer.
func (l *Link) Write(p []byte) (int, error) {
	if err := l.up.WriteBody(p, false); err != nil {
		return 0, err
	}
	return len(p), l.up.Flush()
}

// CloseWrite ends what goes out.
func (l *Link) CloseWrite() error { return l.up.WriteBody(nil, true) }

// Interrupt makes reads and writes fail, now and later.
func (l *Link) Interrupt() { l.up.Interrupt() }

// Close ends the tunnel. Nobody may be reading or writing.
func (l *Link) Close() error {
	l.call.engine.leave(l)
	l.end()
	return nil
}

func (l *Link) end() {
	c := l.call
	c.forget()
	if l.up != nil {
		l.up.Close()
	}
	c.forward.host.Active.Add(-1)
	c.forward.target.stats.RqActive.Add(-1)
	c.forward.target.cluster.DoneRequest(upstream.DefaultPriority)
}

// inbound implements conn.
func (l *Link) inbound() bool { return false }

// drain implements conn: nobody is asked to leave a tunnel.
func (l *Link) drain(bool) {}

// client implements conn.
func (l *Link) client() *session { return nil }

// closeIdle implements conn: who carries the bytes ends it.
func (l *Link) closeIdle() {}

// abort implements conn.
func (l *Link) abort() { l.Interrupt() }
