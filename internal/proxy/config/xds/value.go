package xds

import (
	"net/netip"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// perMillion is what fractions are counted in.
const perMillion = 1_000_000

// duration returns v, or missing if it isn't set. Below zero and beyond Go's range are problems.
func (d *decoder) duration(field string, v *durationpb.Duration, missing time.Duration) time.Duration {
	if v == nil {
		return missing
	}
	if v.CheckValid() != nil || v.AsDuration() < 0 {
		d.failIn(field, "not a duration of zero or more: %ds %dns", v.Seconds, v.Nanos)
		return missing
	}
	return v.AsDuration()
}

// durationPointer is duration for fields where missing means something else than any value does.
func (d *decoder) durationPointer(field string, v *durationpb.Duration) *time.Duration {
	if v == nil {
		return nil
	}
	value := d.duration(field, v, 0)
	return &value
}

func number(v *wrapperspb.UInt32Value, missing uint32) uint32 {
	if v == nil {
		return missing
	}
	return v.Value
}

func number64(v *wrapperspb.UInt64Value, missing uint64) uint64 {
	if v == nil {
		return missing
	}
	return v.Value
}

func truth(v *wrapperspb.BoolValue, missing bool) bool {
	if v == nil {
		return missing
	}
	return v.Value
}

func truthPointer(v *wrapperspb.BoolValue) *bool {
	if v == nil {
		return nil
	}
	value := v.Value
	return &value
}

func numberPointer(v *wrapperspb.UInt32Value) *uint32 {
	if v == nil {
		return nil
	}
	value := v.Value
	return &value
}

// port narrows a port number.
func (d *decoder) port(field string, n uint32) uint16 {
	if n > 65535 {
		d.failIn(field, "port %d is above 65535", n)
		return 0
	}
	return uint16(n)
}

// socket decodes an address that must be an IP address and a port.
func (d *decoder) socket(a *corev3.Address) netip.AddrPort {
	switch a := a.GetAddress().(type) {
	case *corev3.Address_SocketAddress:
		var out netip.AddrPort
		d.in("socket_address", func() { out = d.socketAddress(a.SocketAddress) })
		return out
	case *corev3.Address_Pipe:
		d.failIn("pipe", "not supported")
	case *corev3.Address_EnvoyInternalAddress:
		d.failIn("envoy_internal_address", "not supported")
	default:
		d.fail("no address")
	}
	return netip.AddrPort{}
}

func (d *decoder) socketAddress(a *corev3.SocketAddress) netip.AddrPort {
	port := d.socketPort(a)
	return netip.AddrPortFrom(d.ip("address", a.GetAddress()), port)
}

// socketPort checks everything of a but its address.
func (d *decoder) socketPort(a *corev3.SocketAddress) uint16 {
	if a.GetProtocol() != corev3.SocketAddress_TCP {
		d.failIn("protocol", "%s isn't supported", a.GetProtocol())
	}
	if a.GetNamedPort() != "" {
		d.failIn("named_port", "not supported")
	}
	return d.port("port_value", a.GetPortValue())
}

// ip parses an address; IPv4-mapped ones are unmapped.
func (d *decoder) ip(field, text string) netip.Addr {
	a, err := netip.ParseAddr(text)
	if err != nil {
		d.failIn(field, "%q is not an IP address", text)
		return netip.Addr{}
	}
	return a.Unmap()
}

// prefixes decodes CIDR ranges. Bits behind the prefix are cleared, as Envoy does.
func (d *decoder) prefixes(field string, ranges []*corev3.CidrRange) []netip.Prefix {
	if len(ranges) == 0 {
		return nil
	}
	out := make([]netip.Prefix, 0, len(ranges))
	for i, r := range ranges {
		d.at(field, i, func() { out = append(out, d.prefix(r)) })
	}
	return out
}

func (d *decoder) prefix(r *corev3.CidrRange) netip.Prefix {
	a := d.ip("address_prefix", r.GetAddressPrefix())
	if !a.IsValid() {
		return netip.Prefix{}
	}
	bits := int(min(number(r.GetPrefixLen(), 0), 255))
	if strings.Contains(r.GetAddressPrefix(), ":") && a.Is4() {
		bits -= 96 // of an IPv4-mapped address
	}
	p, err := a.WithZone("").Prefix(bits)
	if err != nil {
		d.failIn("prefix_len", "%d doesn't fit %s", number(r.GetPrefixLen(), 0), a)
	}
	return p
}

// parts returns a fraction in millionths.
func (d *decoder) parts(f *typev3.FractionalPercent) uint32 {
	scale := uint64(perMillion / 100)
	switch f.GetDenominator() {
	case typev3.FractionalPercent_HUNDRED:
	case typev3.FractionalPercent_TEN_THOUSAND:
		scale = perMillion / 10_000
	case typev3.FractionalPercent_MILLION:
		scale = 1
	default:
		d.failIn("denominator", "unknown denominator %d", f.GetDenominator())
	}
	return uint32(min(uint64(f.GetNumerator())*scale, perMillion))
}

// percent returns a Percent in millionths.
func (d *decoder) percent(field string, p *typev3.Percent, missing uint32) uint32 {
	if p == nil {
		return missing
	}
	if !(p.Value >= 0 && p.Value <= 100) { // also of NaN
		d.failIn(field, "%v is not between 0 and 100", p.Value)
		return missing
	}
	return uint32(p.Value * (perMillion / 100))
}

// fraction decodes a RuntimeFractionalPercent, nil if it isn't set.
func (d *decoder) fraction(field string, f *corev3.RuntimeFractionalPercent) (out *config.Fraction) {
	if f != nil {
		d.in(field, func() {
			out = &config.Fraction{Key: d.intern(f.RuntimeKey), PerMillion: d.parts(f.DefaultValue)}
		})
	}
	return out
}

// plainMaps turns filter metadata into plain maps, nil if there is none.
func plainMaps(m *corev3.Metadata) map[string]map[string]any {
	if len(m.GetFilterMetadata()) == 0 {
		return nil
	}
	out := make(map[string]map[string]any, len(m.FilterMetadata))
	for name, fields := range m.FilterMetadata {
		out[name] = fields.AsMap()
	}
	return out
}

// text is a string field of a Struct, "" if it is none.
func text(s *structpb.Struct, field string) string { return s.GetFields()[field].GetStringValue() }

// texts are the strings of a Struct.
func texts(s *structpb.Struct) map[string]string {
	if len(s.GetFields()) == 0 {
		return nil
	}
	out := make(map[string]string, len(s.Fields))
	for name, v := range s.Fields {
		if v, ok := v.GetKind().(*structpb.Value_StringValue); ok {
			out[name] = v.StringValue
		}
	}
	return out
}
