package listener

import (
	"net/netip"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// Select returns the chain of l for a connection that was going to dst, or nil if it must be closed. It is pure.
func Select(l *config.Listener, dst netip.AddrPort) *config.Chain {
	for i := range l.Chains {
		if port := l.Chains[i].DestinationPort; port == 0 || port == dst.Port() {
			return &l.Chains[i]
		}
	}
	return l.Default
}
