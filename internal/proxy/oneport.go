package proxy

import (
	"net/netip"

	"github.com/pillion-mesh/pillion/internal/localaddr"
)

// inbound tells connections to this pod from those that leave it, if one socket takes both; else nil.
func (s *Server) inbound() func(netip.AddrPort) bool {
	if !s.opts.OnePort {
		return nil
	}
	return func(dst netip.AddrPort) bool {
		own, err := localaddr.Is(dst.Addr(), s.opts.LocalAddrs)
		if err != nil {
			s.opts.Log.Error(err, "A connection is taken for an outbound one", "destination", dst)
		}
		return own
	}
}
