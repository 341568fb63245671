package http

import (
	"context"
	"strings"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/http/route"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
	"github.com/pillion-mesh/pillion/internal/proxy/upstream"
)

// Bounds of mirrored requests: they are nobody's answer, so they may be left out.
const (
	mirrorTime = 15 * time.Second
	mirrorMost = 256 // under way at once
)

// mirrors are the policies for this request: the route's, else the virtual host's, else the table's.
func (c *call) mirrors() []*config.Mirror {
	x := c.x
	switch {
	case len(x.Route.Forward.Mirrors) > 0:
		return x.Route.Forward.Mirrors
	case x.VirtualHost != nil && len(x.VirtualHost.Mirrors) > 0:
		return x.VirtualHost.Mirrors
	case c.routes.table != nil:
		return c.routes.table.Mirrors
	}
	return nil
}

// mirror sends copies of the request to where the configuration wants them. Bodies that are still coming are not
// mirrored: that would delay the original, or hold it in memory.
func (c *call) mirror() {
	list := c.mirrors()
	if len(list) == 0 || c.request.streamed || c.tunnels() {
		return
	}
	for _, m := range list {
		if !c.routes.Runtime.Takes(m.Fraction, c.engine.opts.Random()) {
			continue
		}
		name := m.Cluster
		if name == "" {
			name = c.x.Request.Fields.Value(strings.ToLower(m.ClusterHeader))
		}
		if cluster := c.engine.opts.Upstreams.Cluster(name); cluster != nil {
			c.copyTo(cluster, m)
		}
	}
}

// copyTo sends one copy. Its strings are its own: the original may be over first.
func (c *call) copyTo(cluster *upstream.Cluster, m *config.Mirror) {
	e := c.engine
	if e.mirrors.Add(1) > mirrorMost {
		e.mirrors.Add(-1)
		return
	}
	shadow := e.ownCall(cluster, c.conn)
	cloneRequest(&shadow.x.Request, &c.x.Request)
	if !m.KeepHost {
		shadow.x.Request.Authority = route.ShadowHost(shadow.x.Request.Authority)
	}
	body := append([]byte(nil), c.request.held...)
	e.work.Go(func() {
		defer e.mirrors.Add(-1)
		ctx, stop := context.WithTimeout(e.ctx, mirrorTime)
		defer stop()
		_ = shadow.whole(ctx, body, func([]byte) error { return nil }) // nobody waits for it
	})
}

func cloneRequest(to, from *stream.Request) {
	*to = stream.Request{
		Method: strings.Clone(from.Method), Scheme: from.Scheme, Authority: strings.Clone(from.Authority),
		Path: strings.Clone(from.Path), HasBody: from.HasBody, Length: from.Length,
	}
	to.Fields = clone(&from.Fields)
}
