// Package alpn is Istio's filter istio.alpn: which protocols are offered to the upstream in the TLS handshake, by the
// protocol the downstream spoke.
package alpn

import (
	"context"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/filter"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

type alpn struct{ config *config.ALPN }

// New returns the filter.
func New(c *config.ALPN, _ filter.Deps) (filter.Filter, error) { return alpn{c}, nil }

// Request sets x.UpstreamALPN, unless metadata of x's cluster says that its own counts.
func (a alpn) Request(_ context.Context, x *stream.Exchange, tr *stream.Trace) *filter.Reply {
	if x.Cluster != nil && x.Cluster.ALPNAlone {
		return nil
	}
	var protocols []string
	switch x.Protocol {
	case stream.HTTP10:
		protocols = a.config.HTTP10
	case stream.HTTP11:
		protocols = a.config.HTTP11
	case stream.HTTP2:
		protocols = a.config.HTTP2
	}
	if len(protocols) > 0 {
		x.UpstreamALPN = protocols
	}
	if tr.On() {
		tr.Note("filter", "alpn: offers %v for %s", x.UpstreamALPN, x.Protocol)
	}
	return nil
}
