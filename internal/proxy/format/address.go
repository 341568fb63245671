package format

import (
	"net/netip"
	"strconv"

	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

func upstreamRemote(x *stream.Exchange) netip.AddrPort  { return x.Upstream.Remote }
func upstreamLocal(x *stream.Exchange) netip.AddrPort   { return x.Upstream.Local }
func downstreamLocal(x *stream.Exchange) netip.AddrPort { return x.Conn.Local }
func directRemote(x *stream.Exchange) netip.AddrPort    { return x.Conn.Direct() }

func downstreamRemote(x *stream.Exchange) netip.AddrPort {
	if x.Remote.IsValid() {
		return netip.AddrPortFrom(x.Remote, 0) // headers tell no port
	}
	return x.Conn.Remote
}

// addresses are operators that give an address with its port.
var addresses = map[string]func(*stream.Exchange) netip.AddrPort{
	"UPSTREAM_HOST":                    upstreamRemote,
	"UPSTREAM_REMOTE_ADDRESS":          upstreamRemote,
	"UPSTREAM_LOCAL_ADDRESS":           upstreamLocal,
	"DOWNSTREAM_LOCAL_ADDRESS":         downstreamLocal,
	"DOWNSTREAM_DIRECT_LOCAL_ADDRESS":  downstreamLocal,
	"DOWNSTREAM_REMOTE_ADDRESS":        downstreamRemote,
	"DOWNSTREAM_DIRECT_REMOTE_ADDRESS": directRemote,
}

// part is an address of which only the IP or the port is wanted.
type part struct {
	of   func(*stream.Exchange) netip.AddrPort
	port bool
}

// addressParts are operators that give one half of an address.
var addressParts = map[string]part{
	"UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT":          {upstreamRemote, false},
	"UPSTREAM_REMOTE_PORT":                          {upstreamRemote, true},
	"UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT":           {upstreamLocal, false},
	"UPSTREAM_LOCAL_PORT":                           {upstreamLocal, true},
	"DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT":         {downstreamLocal, false},
	"DOWNSTREAM_LOCAL_PORT":                         {downstreamLocal, true},
	"DOWNSTREAM_DIRECT_LOCAL_ADDRESS_WITHOUT_PORT":  {downstreamLocal, false},
	"DOWNSTREAM_DIRECT_LOCAL_PORT":                  {downstreamLocal, true},
	"DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT":        {downstreamRemote, false},
	"DOWNSTREAM_REMOTE_PORT":                        {downstreamRemote, true},
	"DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT": {directRemote, false},
	"DOWNSTREAM_DIRECT_REMOTE_PORT":                 {directRemote, true},
}

// An IPv6 zone is the only part of an address with letters of others' choosing; the kernel's names are harmless.
func address(of func(*stream.Exchange) netip.AddrPort) op {
	return op{safe: true, do: func(line []byte, x *stream.Exchange) ([]byte, bool) {
		a := of(x)
		if !a.IsValid() {
			return line, false
		}
		return a.AppendTo(line), true
	}}
}

func addressPart(p part) op {
	return op{safe: true, number: p.port, do: func(line []byte, x *stream.Exchange) ([]byte, bool) {
		a := p.of(x)
		switch {
		case !a.IsValid():
			return line, false
		case p.port:
			return strconv.AppendUint(line, uint64(a.Port()), 10), true
		default:
			return a.Addr().AppendTo(line), true
		}
	}}
}
