package listener

import (
	"net/netip"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// Select returns the chain of l for a connection that was going to dst, or nil if it must be closed. It is pure.
func Select(l *config.Listener, dst netip.AddrPort) *config.Chain {
	for _, chain := range l.Chains {
		if port := chain.Match.DestinationPort; port == 0 || port == dst.Port() {
			return chain
		}
	}
	return l.Default
}
