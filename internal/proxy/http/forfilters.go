package http

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/filter"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
	"github.com/pillion-mesh/pillion/internal/proxy/upstream"
)

// errNoCall is Body's for a context that isn't a filter's.
var errNoCall = errors.New("the context is not the one of a request's filters")

// Body reads up to most bytes of a request's body for a filter; the upstream gets them all the same. whole tells that
// this is all of it. It is filter.Deps' Body; ctx is the one given to Request.
func (e *Engine) Body(ctx context.Context, x *stream.Exchange, most int) (body []byte, whole bool, err error) {
	c, ok := ctx.Value(callKey{}).(*call)
	if !ok || c.x != x {
		return nil, false, errNoCall
	}
	return c.request.readFor(c, most)
}

func (r *requestBody) readFor(c *call, most int) (body []byte, whole bool, err error) {
	if !c.x.Request.HasBody || c.tunnels() {
		return nil, true, nil
	}
	if r.read == nil {
		r.read = []byte{}
		if reply := r.expectation(c); reply != nil {
			return nil, false, errors.New("the client went away")
		}
	}
	for len(r.read) < most && !r.finished.Load() {
		piece, end, err := c.down.ReadBody()
		if err != nil {
			r.fail(c, err)
			return nil, false, err
		}
		r.read = append(r.read, piece...)
		c.x.Received += uint64(len(piece))
		r.count.add(c, piece, 0)
		r.finished.Store(end)
	}
	return r.read[:min(len(r.read), most)], r.finished.Load() && len(r.read) <= most, nil
}

// defaultAnswer is how much of an answer Call takes unless told.
const defaultAnswer = 1 << 20

// Call sends an HTTP request to a cluster for a filter and reads the whole answer. It is filter.Deps' Call.
func (e *Engine) Call(ctx context.Context, ask *filter.Call) (*filter.Answer, error) {
	cluster := e.opts.Upstreams.Cluster(ask.Cluster)
	if cluster == nil {
		return nil, fmt.Errorf("calling cluster %q: there is none", ask.Cluster)
	}
	if ask.Timeout > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, ask.Timeout)
		defer stop()
	}
	c := e.ownCall(cluster, &stream.Conn{Start: e.opts.Now()})
	if ask.HTTP2 {
		c.x.Protocol = stream.HTTP2
	}
	r := &c.x.Request
	r.Method, r.Scheme, r.Authority, r.Path = ask.Method, "http", ask.Host, ask.Path
	r.HasBody, r.Length = len(ask.Body) > 0, int64(len(ask.Body))
	for _, f := range ask.Fields {
		r.Fields.Add(strings.ToLower(f.Name), f.Value)
	}
	most := ask.MostAnswer
	if most == 0 {
		most = defaultAnswer
	}
	answer := &filter.Answer{}
	err := c.whole(ctx, ask.Body, func(piece []byte) error {
		if answer.Body = append(answer.Body, piece...); len(answer.Body) > most {
			return fmt.Errorf("the answer has more than %d bytes", most)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("calling cluster %q: %w", ask.Cluster, err)
	}
	answer.Status, answer.Fields = c.x.Response.Status, c.x.Response.Fields
	answer.Trailers = clone(&c.x.ResponseTrailers)
	return answer, nil
}

// ownCall is a request of this proxy's own, or a copy of a client's.
func (e *Engine) ownCall(cluster *upstream.Cluster, conn *stream.Conn) *call {
	x := &stream.Exchange{Conn: conn, Start: e.opts.Now(), GRPCStatus: -1, ClusterName: cluster.Name(), Cluster: cluster.Config()}
	c := &call{session: &session{engine: e, conn: conn}, x: x}
	c.forward.target = &target{cluster.Name(), cluster, cluster.Stats.Shard(conn.ID)}
	return c
}

// whole sends an own call and reads its answer to the end. The strings of its head are the call's own afterwards.
func (c *call) whole(ctx context.Context, body []byte, take func([]byte) error) error {
	t := c.forward.target
	host, err := t.cluster.Pick(&upstream.Choice{Client: c.conn.Remote, OriginalDst: c.conn.Local}, nil)
	if err != nil {
		return err
	}
	if !t.cluster.TryRequest(upstream.DefaultPriority) {
		return upstream.ErrOverflow
	}
	defer t.cluster.DoneRequest(upstream.DefaultPriority)
	c.forward.host = host
	defer context.AfterFunc(ctx, func() { c.cut(routeDeadline.cause()) })()
	up, err := c.connectTo(host)
	if err != nil {
		return err
	}
	defer up.Close()
	c.mu.Lock()
	c.up = up
	c.mu.Unlock()
	defer c.forget()
	t.stats.RqTotal.Add(1)
	if err := up.WriteHead(&c.x.Request, !c.x.Request.HasBody); err != nil {
		return err
	}
	if c.x.Request.HasBody {
		if err := up.WriteBody(body, true); err != nil {
			return err
		}
	}
	end, err := c.finalHead()
	if err != nil {
		return err
	}
	t.stats.Response(c.x.Response.Status, time.Since(c.x.Start))
	for !end {
		var piece []byte
		if piece, end, err = up.ReadBody(); err != nil {
			return err
		}
		if err := take(piece); err != nil {
			return err
		}
	}
	return nil
}

// forget takes the stream away from whoever would cut it, before it is closed.
func (c *call) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.up = nil
}

// finalHead reads heads until the last one, and makes its strings the call's own.
func (c *call) finalHead() (end bool, err error) {
	r := &c.x.Response
	for {
		if end, err = c.up.ReadHead(r); err != nil {
			return false, err
		}
		if r.Status >= 200 {
			break
		}
		r.Fields.Clear()
	}
	r.Fields = clone(&r.Fields)
	return end, nil
}

// clone returns fields whose strings are nobody else's.
func clone(fields *stream.Fields) (own stream.Fields) {
	for i := range fields.Len() {
		f := fields.At(i)
		own.Add(strings.Clone(f.Name), strings.Clone(f.Value))
	}
	return own
}
