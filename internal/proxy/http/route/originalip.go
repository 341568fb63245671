package route

import (
	"net/netip"
	"strings"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// detect asks the manager's extensions who the client is. An invalid address: none of them knows. Alone: its being an
// internal address makes the request internal. reject is the status of the answer if the request isn't to go on; 0: it is.
func detect(m *config.HTTPManager, x *stream.Exchange) (client netip.Addr, alone bool, reject int) {
	for i := range m.OriginalIP {
		if e := &m.OriginalIP[i]; e.Header == "" {
			client, alone = detectForwarded(e, x)
		} else if client, alone = detectHeader(e, x); !client.IsValid() && e.Reject != 0 {
			return client, false, int(e.Reject)
		}
		if client.IsValid() {
			if m.OriginalIP[i].Append {
				appendTo(&x.Request.Fields, "x-forwarded-for", x.Conn.Remote.Addr().Unmap().String())
			}
			return client, alone, 0
		}
	}
	return netip.Addr{}, false, 0
}

func detectHeader(e *config.OriginalIP, x *stream.Exchange) (netip.Addr, bool) {
	text, _ := x.Request.Fields.Get(e.Header)
	a, err := netip.ParseAddr(text)
	if err != nil || a.Zone() != "" {
		return netip.Addr{}, false
	}
	return a.Unmap(), e.Trusted
}

func detectForwarded(e *config.OriginalIP, x *stream.Exchange) (netip.Addr, bool) {
	list, there := x.Request.Fields.Joined("x-forwarded-for")
	switch {
	case len(e.CIDRs) == 0:
		return fromLast(list, e.Hops)
	case !there || !e.CIDRs.Contains(x.Conn.Remote.Addr().Unmap()):
		return netip.Addr{}, false
	default:
		return beforeTrusted(e.CIDRs, list), false
	}
}

// beforeTrusted is the last address that isn't a trusted proxy's, or the first one if all are. Behind something that is no
// address nothing is believed.
func beforeTrusted(proxies config.CIDRs, list string) netip.Addr {
	for {
		comma := strings.LastIndexByte(list, ',')
		a := address(strings.TrimSpace(list[comma+1:]))
		if !a.IsValid() || comma < 0 || !proxies.Contains(a) {
			return a
		}
		list = list[:comma]
	}
}
