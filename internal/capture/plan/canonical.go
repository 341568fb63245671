package plan

import (
	"net/netip"

	"github.com/pillion-mesh/pillion/internal/capture/jsontext"
)

// MarshalJSON writes what the fields' tags say; a test holds it against encoding/json, whose look at the types would be
// a good part of what capture takes.
func (p *Plan) MarshalJSON() ([]byte, error) {
	w := &jsontext.Writer{}
	p.write(w, true)
	return w.Text, nil
}

// write writes the plan, with or without what live sets hold at first.
func (p *Plan) write(w *jsontext.Writer, first bool) {
	w.Open("", '{')
	w.String("mode", string(p.Mode))
	w.Open("families", '{')
	w.Bool("v4", p.Families.V4)
	w.Bool("v6", p.Families.V6)
	w.Close('}')
	p.Proxy.write(w)
	p.In.write(w)
	p.Out.write(w)
	p.DNS.write(w)
	w.String("loopback", cidrText(p.Loopback))
	some(w, "bypass", p.Bypass, func(w *jsontext.Writer, by Bypass) { by.write(w) })
	on(w, "dropInvalid", p.DropInvalid)
	on(w, "lateArming", p.LateArming)
	if first {
		p.First.write(w)
	}
	w.Close('}')
}

func (i Identity) write(w *jsontext.Writer) {
	w.Open("proxy", '{')
	jsontext.List(w, "uids", i.UIDs, number)
	jsontext.List(w, "gids", i.GIDs, number)
	if i.Mark != nil {
		w.Open("mark", '{')
		w.Uint("value", uint64(i.Mark.Value))
		w.Uint("mask", uint64(i.Mark.Mask))
		w.Close('}')
	}
	w.Close('}')
}

func (i Inbound) write(w *jsontext.Writer) {
	w.Open("in", '{')
	w.String("via", string(i.Via))
	w.Uint("port", uint64(i.Port))
	w.Uint("tunnel", uint64(i.Tunnel))
	w.Open("ports", '{')
	on(w, "all", i.Ports.All)
	some(w, "list", i.Ports.List, span)
	w.Close('}')
	above0(w, "mark", uint64(i.Mark))
	above0(w, "table", uint64(i.Table))
	w.Close('}')
}

func (o Outbound) write(w *jsontext.Writer) {
	w.Open("out", '{')
	w.String("via", string(o.Via))
	w.Uint("port", uint64(o.Port))
	w.Open("cidrs", '{')
	on(w, "all", o.CIDRs.All)
	some(w, "list", o.CIDRs.List, prefix)
	w.Close('}')
	some(w, "ports", o.Ports, span)
	if o.To4 != (netip.Addr{}) {
		address(w, "to4", o.To4)
	}
	if o.To6 != (netip.Addr{}) {
		address(w, "to6", o.To6)
	}
	if o.Owners.Groups != nil || o.Owners.Exclude != nil {
		w.Open("owners", '{')
		some(w, "groups", o.Owners.Groups, number)
		some(w, "exclude", o.Owners.Exclude, number)
		w.Close('}')
	}
	some(w, "virtual", o.Virtual, word)
	w.Close('}')
}

func (d DNS) write(w *jsontext.Writer) {
	if d.Via == "" && d.Port == 0 && !d.All && d.Servers == nil && !d.Zones {
		return
	}
	w.Open("dns", '{')
	if d.Via != "" {
		w.String("via", string(d.Via))
	}
	above0(w, "port", uint64(d.Port))
	on(w, "all", d.All)
	some(w, "servers", d.Servers, func(w *jsontext.Writer, a netip.Addr) { address(w, "", a) })
	on(w, "zones", d.Zones)
	w.Close('}')
}

func (by Bypass) write(w *jsontext.Writer) {
	w.Open("", '{')
	if by.Name != "" {
		w.String("name", by.Name)
	}
	w.String("stage", string(by.Stage))
	w.String("hook", string(by.Hook))
	some(w, "interfaces", by.Interfaces, word)
	some(w, "ports", by.Ports, span)
	some(w, "from", by.From, prefix)
	some(w, "to", by.To, prefix)
	above0(w, "proto", uint64(by.Proto))
	some(w, "uids", by.UIDs, span)
	some(w, "gids", by.GIDs, span)
	w.String("reason", by.Reason)
	w.Close('}')
}

func (c Contents) write(w *jsontext.Writer) {
	if c.In == nil && c.Out == nil && c.Armed == nil {
		return
	}
	w.Open("first", '{')
	some(w, "in", c.In, func(w *jsontext.Writer, a netip.AddrPort) { w.String("", a.String()) })
	some(w, "out", c.Out, func(w *jsontext.Writer, a netip.Addr) { address(w, "", a) })
	some(w, "armed", c.Armed, func(w *jsontext.Writer, e Element) { w.String("", e.String()) })
	w.Close('}')
}

// some, on and above0 leave out what is empty.
func some[T any](w *jsontext.Writer, name string, list []T, element func(*jsontext.Writer, T)) {
	if len(list) > 0 {
		jsontext.List(w, name, list, element)
	}
}

func on(w *jsontext.Writer, name string, value bool) {
	if value {
		w.Bool(name, true)
	}
}

func above0(w *jsontext.Writer, name string, value uint64) {
	if value > 0 {
		w.Uint(name, value)
	}
}

func number(w *jsontext.Writer, n uint32) { w.Uint("", uint64(n)) }

func word(w *jsontext.Writer, s string) { w.String("", s) }

func span(w *jsontext.Writer, r Range) { w.String("", r.String()) }

func prefix(w *jsontext.Writer, p netip.Prefix) { w.String("", cidrText(p)) }

// The zero values of netip are empty texts in JSON, whatever String calls them.
func cidrText(p netip.Prefix) string {
	text, _ := p.MarshalText() // never fails
	return string(text)
}

func address(w *jsontext.Writer, name string, a netip.Addr) {
	text, _ := a.MarshalText() // never fails
	w.String(name, string(text))
}
