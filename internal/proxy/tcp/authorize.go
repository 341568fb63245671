package tcp

import (
	"context"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/extauthz"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
	"github.com/pillion-mesh/pillion/internal/proxy/telemetry"
)

// authorize is envoy.filters.network.ext_authz: a service says whether a connection is let in. Envoy asks with the
// client's first byte; here it is asked before anything is dialled.
type authorize struct {
	ctx     context.Context // ends with the proxy
	asker   *extauthz.Asker
	lenient bool
	active  *telemetry.Gauge

	total, ok, denied, failed, allowed, disabled, closed *telemetry.Counter
}

func (p *Proxy) newAuthorize(c *config.ExtAuthz) *authorize {
	prefix := "ext_authz." + c.StatPrefix + "."
	count := func(name string) *telemetry.Counter { return p.Store.Counter(prefix + name) }
	return &authorize{
		ctx: p.ctx, asker: extauthz.NewAsker(c, p.Call), lenient: c.FailureAllow, active: p.Store.Gauge(prefix + "active"),
		total: count("total"), ok: count("ok"), denied: count("denied"), failed: count("error"),
		allowed: count("failure_mode_allowed"), disabled: count("disabled"), closed: count("cx_closed"),
	}
}

func (g *authorize) enter(c *stream.Conn) *refusal {
	if !g.asker.Concerns(c) {
		g.disabled.Add(1)
		return nil
	}
	g.total.Add(1)
	g.active.Add(1)
	allowed, err := g.asker.Ask(g.ctx, c)
	g.active.Add(-1)
	switch {
	case err == nil && allowed:
		g.ok.Add(1)
		return nil
	case err == nil:
		g.denied.Add(1)
		return g.refuse("ext_authz_denied")
	case g.lenient:
		g.failed.Add(1)
		g.allowed.Add(1)
		return nil
	default:
		g.failed.Add(1)
		return g.refuse("ext_authz_error")
	}
}

func (g *authorize) refuse(details string) *refusal {
	g.closed.Add(1)
	return &refusal{details: details, flags: stream.UnauthorizedExternalService}
}

func (*authorize) leave() {}
