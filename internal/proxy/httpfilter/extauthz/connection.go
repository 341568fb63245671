package extauthz

import (
	"context"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/filter"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/unary"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
	"github.com/pillion-mesh/pillion/internal/proxy/wire"
)

// Asker asks the service about connections: envoy.filters.network.ext_authz.
type Asker struct{ authz }

// NewAsker returns one that asks by send.
func NewAsker(c *config.ExtAuthz, send unary.Send) *Asker {
	a := &Asker{authz{config: c, timeout: c.Timeout}}
	a.deps.Call = send
	if a.timeout == 0 {
		a.timeout = standardTimeout
	}
	return a
}

// Concerns reports whether the service is to be asked about c at all.
func (a *Asker) Concerns(c *stream.Conn) bool {
	return a.config.EnabledMetadata == nil || a.config.EnabledMetadata.Match(c.Metadata)
}

// Ask waits for what the service says of c; what it tells besides becomes c's metadata. An error means that it said
// nothing.
func (a *Asker) Ask(ctx context.Context, c *stream.Conn) (allowed bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	v, err := a.overGRPC(ctx, a.about(c))
	if err != nil {
		return false, err
	}
	if len(v.metadata) > 0 {
		x := stream.Exchange{Metadata: c.Metadata}
		for key, value := range v.metadata {
			filter.SetMetadata(&x, "envoy.filters.network.ext_authz", key, value)
		}
		c.Metadata = x.Metadata
	}
	return v.allowed, nil
}

// about is a CheckRequest about a connection.
func (a *Asker) about(c *stream.Conn) []byte {
	b := wire.AppendBytes(nil, contextSource, a.source(&stream.Exchange{Conn: c}))
	b = wire.AppendBytes(b, contextDestination, destination(c))
	if m := appendMetadata(nil, a.config.Metadata, c.Metadata); m != nil {
		b = wire.AppendBytes(b, contextMetadata, m)
	}
	if a.config.TLSSession && c.TLS != nil {
		b = wire.AppendBytes(b, contextTLSSession, wire.AppendText(nil, sessionSNI, c.TLS.ServerName))
	}
	return wire.AppendBytes(nil, checkAttributes, b)
}

// overGRPC asks the service.
func (f *authz) overGRPC(ctx context.Context, question []byte) (*verdict, error) {
	call := unary.Call{
		Cluster: f.config.GRPCCluster, Authority: f.config.Authority, Method: "/envoy.service.auth.v3.Authorization/Check",
		Metadata: f.config.AddHeaders, Timeout: f.timeout, Message: question, Purpose: "ext_authz",
	}
	answer, err := call.Do(ctx, f.deps.Call)
	if err != nil {
		return nil, err
	}
	return readVerdict(answer)
}
