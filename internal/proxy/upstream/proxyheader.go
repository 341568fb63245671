package upstream

import (
	"context"
	"net"
	"slices"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/proxyproto"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// HeaderOf returns what connections to an endpoint begin with, chosen as TransportOf does, with the endpoint's own TLVs instead
// of the cluster's of the same types. nil: nothing.
func HeaderOf(cfg *config.Cluster, endpoint *config.Endpoint) *config.ProxyHeader {
	header := cfg.Header
	if match := matchOf(cfg, endpoint); match != nil {
		header = match.Header
	}
	if header == nil || endpoint == nil || endpoint.Header == nil {
		return header
	}
	both := *header
	both.Added = slices.Clone(endpoint.Header.Added)
	for _, each := range header.Added {
		if !slices.ContainsFunc(endpoint.Header.Added, func(own config.ProxyTLV) bool { return own.Type == each.Type }) {
			both.Added = append(both.Added, each)
		}
	}
	return &both
}

// HeaderBytes are a header of the PROXY protocol: whom a connection is for. For nobody it is the proxy's own, as those of
// health checks are.
func HeaderBytes(h *config.ProxyHeader, who *stream.Conn) ([]byte, error) {
	header := proxyproto.Header{Version: proxyproto.V1, Local: who == nil}
	if who != nil {
		header.Source, header.Destination = who.Remote, who.Local
	}
	if h.V2 {
		header.Version, header.TLVs = proxyproto.V2, extras(h, who)
	}
	return header.Append(nil)
}

// extras are the TLVs of a header: those that pass, and the configuration's, which count where both have a type.
func extras(h *config.ProxyHeader, who *stream.Conn) (list []stream.TLV) {
	own := map[byte]bool{}
	for _, each := range h.Added {
		own[each.Type] = true
	}
	if who != nil {
		for _, each := range who.TLVs {
			if h.Pass.Takes(each.Type) && !own[each.Type] {
				list = append(list, each)
			}
		}
	}
	for _, each := range h.Added {
		list = append(list, stream.TLV{Type: each.Type, Value: each.Value})
	}
	return list
}

// Introduce writes the header, before anything else is said.
func Introduce(ctx context.Context, conn net.Conn, h *config.ProxyHeader, who *stream.Conn) error {
	b, err := HeaderBytes(h, who)
	if err != nil {
		return err
	}
	if deadline, bounded := ctx.Deadline(); bounded {
		_ = conn.SetWriteDeadline(deadline)
	}
	if _, err := conn.Write(b); err != nil {
		return err
	}
	return conn.SetWriteDeadline(time.Time{})
}
