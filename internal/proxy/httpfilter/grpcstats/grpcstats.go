// Package grpcstats counts gRPC calls for the clusters they go to: how they ended, and how many messages they had. The
// engine counts messages anyway; here is chosen under which name, when a request comes, and counted when it has ended.
package grpcstats

import (
	"context"
	"strings"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/filter"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
	"github.com/pillion-mesh/pillion/internal/proxy/telemetry"
)

type stats struct {
	config *config.GRPCStats
	deps   filter.Deps
}

// New returns the filter.
func New(c *config.GRPCStats, d filter.Deps) (filter.Filter, error) {
	return &stats{c, d.WithDefaults()}, nil
}

// Request chooses what counts a call. Requests that another filter has answered before are not counted.
func (f *stats) Request(_ context.Context, x *stream.Exchange, tr *stream.Trace) *filter.Reply {
	if !x.GRPC || tr.On() {
		return nil
	}
	x.EmitMessages = x.EmitMessages || f.config.FilterState
	c := f.deps.Cluster(x.ClusterName)
	if c == nil {
		return nil
	}
	service, method, named := f.name(x.Request.Path)
	switch {
	case named:
		x.Calls = c.GRPC(service, method)
	case !f.config.All:
		x.Calls = c.GRPC("", "")
	}
	return nil
}

// name is the method a path names, if it is counted by itself.
func (f *stats) name(path string) (service, method string, named bool) {
	path, _, _ = strings.Cut(path, "?")
	if !f.config.All && !f.config.Methods[path] {
		return "", "", false
	}
	service, method, whole := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if f.config.All && f.config.ReplaceDots {
		service = strings.ReplaceAll(service, ".", "_")
	}
	return service, method, whole && service != "" && method != "" && !strings.Contains(method, "/")
}

// End counts a call that has ended.
func (f *stats) End(x *stream.Exchange) {
	calls, ok := x.Calls.(*telemetry.GRPC)
	if !ok {
		return
	}
	x.Calls = nil // another filter of this kind doesn't count it again
	calls.Done(x.Conn.ID, x.GRPCStatus, x.Messages[0], x.Messages[1])
	if f.config.Times && x.LastUpstreamRx > 0 {
		calls.Took(x.LastUpstreamRx - x.FirstUpstreamTx)
	}
}
