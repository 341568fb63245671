// Package localaddr says which addresses lead back to this machine: the sidecar must know before it dials, for what it
// sends to itself comes back for ever.
package localaddr

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
)

// Is says whether addr is loopback, unspecified or an interface's. interfaces lists those, such as net.InterfaceAddrs; it
// is asked only where the address alone doesn't say.
func Is(addr netip.Addr, interfaces func() ([]net.Addr, error)) (bool, error) {
	addr = addr.Unmap().WithZone("")
	if addr.IsLoopback() || addr.IsUnspecified() {
		return true, nil
	}
	addrs, err := interfaces()
	if err != nil {
		return false, fmt.Errorf("listing local addresses: %w", err)
	}
	return slices.ContainsFunc(addrs, func(a net.Addr) bool { return has(a, addr) }), nil
}

func has(a net.Addr, want netip.Addr) bool {
	prefix, ok := a.(*net.IPNet)
	if !ok {
		return false
	}
	got, ok := netip.AddrFromSlice(prefix.IP)
	return ok && got.Unmap() == want
}
