package stream

import "net/netip"

// TLV is an extra of a PROXY protocol header of version 2.
type TLV struct {
	Type  byte
	Value []byte
}

// Direct is the socket's peer, which isn't Remote if that told whom it connects for.
func (c *Conn) Direct() netip.AddrPort {
	if c.Peered.IsValid() {
		return c.Peered
	}
	return c.Remote
}
