package plan

import (
	"fmt"
	"net/netip"
	"slices"
)

// Names of the live sets.
const (
	SetIn4   = "in4"   // Listed: addresses and ports whose connections are inbound
	SetIn6   = "in6"   // the same
	SetVIP4  = "vip4"  // Listed: addresses whose connections are outbound
	SetVIP6  = "vip6"  // the same
	SetArmed = "armed" // late arming: protocols that are captured
)

// LiveKind is what a live set holds. It fails if there's no live set of that name.
func LiveKind(set string) (Kind, bool) {
	kind, ok := map[string]Kind{
		SetIn4: KindIPv4Port, SetIn6: KindIPv6Port, SetVIP4: KindIPv4, SetVIP6: KindIPv6, SetArmed: KindProto,
	}[set]
	return kind, ok
}

// live declares a live set with those of its first elements that suit it.
func (b *builder) live(name string, first []Element) *Set {
	kind, _ := LiveKind(name)
	first = slices.DeleteFunc(slices.Clone(first), func(e Element) bool { return !e.suits(kind) })
	return b.set(Set{Name: name, Kind: kind, Live: true, First: first})
}

func (c Contents) in() []Element {
	list := make([]Element, len(c.In))
	for i, a := range c.In {
		list[i] = Element{Addr: a.Addr(), Port: a.Port()}
	}
	return list
}

func (c Contents) out() []Element {
	list := make([]Element, len(c.Out))
	for i, a := range c.Out {
		list[i] = Element{Addr: a}
	}
	return list
}

// Element is one entry of a live set: an address, an address and a port, or a protocol.
type Element struct {
	Addr  netip.Addr
	Port  uint16
	Proto uint8
}

// String is the form ParseElement reads: "240.0.0.10", "10.0.0.7:8080", "[fd00::7]:8080" or "tcp".
func (e Element) String() string {
	switch {
	case e.Proto != 0:
		return protoText(uint32(e.Proto))
	case e.Port != 0:
		return netip.AddrPortFrom(e.Addr, e.Port).String()
	default:
		return e.Addr.String()
	}
}

// ParseElement reads an entry for a set of a kind.
func ParseElement(kind Kind, text string) (Element, error) {
	var e Element
	switch kind {
	case KindProto:
		i := slices.Index(protocols(), text)
		if i < 0 {
			return e, fmt.Errorf("%q is no protocol; want tcp or udp", text)
		}
		e.Proto = [...]uint8{TCP, UDP}[i]
	case KindIPv4Port, KindIPv6Port:
		both, err := netip.ParseAddrPort(text)
		if err != nil || both.Port() == 0 || !plain(both.Addr()) {
			return e, fmt.Errorf("%q is no address and port; want 10.0.0.7:8080 or [fd00::7]:8080", text)
		}
		e.Addr, e.Port = both.Addr(), both.Port()
	default:
		addr, err := netip.ParseAddr(text)
		if err != nil || !plain(addr) {
			return e, fmt.Errorf("%q is no IP address", text)
		}
		e.Addr = addr
	}
	if !e.suits(kind) {
		return e, fmt.Errorf("%q is of the other IP family", text)
	}
	return e, nil
}

// MarshalText makes an Element a string in JSON.
func (e Element) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// UnmarshalText reads String's form.
func (e *Element) UnmarshalText(text []byte) (err error) {
	for _, kind := range []Kind{KindProto, KindIPv4Port, KindIPv6Port, KindIPv4, KindIPv6} {
		if *e, err = ParseElement(kind, string(text)); err == nil {
			return nil
		}
	}
	return err
}

func protocols() []string { return []string{"tcp", "udp"} }

// plain keeps out what packets never carry.
func plain(a netip.Addr) bool { return a.Zone() == "" && !a.Is4In6() && !a.IsUnspecified() }

func (e Element) suits(kind Kind) bool {
	switch kind {
	case KindIPv4, KindIPv4Port:
		return e.Addr.Is4()
	case KindIPv6, KindIPv6Port:
		return e.Addr.Is6()
	default:
		return true
	}
}
