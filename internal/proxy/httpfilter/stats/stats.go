// Package stats is istio.stats as a filter. Requests are counted when they have ended, by package telemetry; all there
// is to do here is to know the peer by then.
package stats

import (
	"context"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/filter"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

type stats struct{}

// New returns the filter.
func New(*config.IstioStats, filter.Deps) (filter.Filter, error) { return stats{}, nil }

// Request takes the connection's peer for the request's, unless headers told one.
func (stats) Request(_ context.Context, x *stream.Exchange, _ *stream.Trace) *filter.Reply {
	if x.Peer == nil {
		x.Peer = x.Conn.Peer
	}
	return nil
}
