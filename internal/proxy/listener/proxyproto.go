package listener

import (
	"encoding/base64"
	"io"
	"net/netip"
	"slices"
	"strings"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/proxyproto"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// filterFor returns the listener's filter of a kind that runs for a connection to port, nil if there is none.
func (c *Compiled) filterFor(kind config.InspectorKind, port uint16) *config.Inspector {
	for i := range c.Config.Inspectors {
		if f := &c.Config.Inspectors[i]; f.Kind == kind && !f.Disabled.Match(port) {
			return f
		}
	}
	return nil
}

func (c *Compiled) originalSource(port uint16) *config.OriginalSource {
	if f := c.filterFor(config.OriginalSourceFilter, port); f != nil {
		return f.Source
	}
	return nil
}

// introduced reads the header of the PROXY protocol, if the listener's filters want one, and believes it: that is what the
// filter is configured for. What comes behind the header stays in the socket. It reports whether the connection goes on.
func (v *visit) introduced(l *Compiled) bool {
	f := l.filterFor(config.ProxyProtocolFilter, v.facts.Destination.Port())
	if f == nil {
		return true
	}
	r := introduction{config: f.Proxy}
	if !v.peekAt(l, r.step) {
		return false
	}
	v.countHeader(f.Proxy, &r)
	switch {
	case r.err != nil:
		v.stats.FilterError.Add(1)
		return false
	case r.size == 0: // there is none, or it didn't come in time and that is no reason to close
		return f.Proxy.Optional
	}
	if n, err := io.CopyN(io.Discard, v.socket, int64(r.size)); err != nil || n != int64(r.size) {
		return false // it was there a moment ago
	}
	v.believe(f.Proxy, &r.header)
	return true
}

// introduction looks for a header in the first bytes as they grow.
type introduction struct {
	config  *config.ProxyProtocol
	version proxyproto.Version
	refused proxyproto.Version // there is a header of a version that isn't allowed
	header  proxyproto.Header
	size    int // of the header; 0: there is none
	err     error
}

func (r *introduction) step(b []byte, end bool) (need int) {
	version, more := proxyproto.Guess(b, r.looksFor)
	switch {
	case more && !end:
		return len(b) + 1
	case version == proxyproto.None || r.disallows(version):
		r.refused = version
		return 0
	}
	r.version = version
	r.header, r.size, need, r.err = proxyproto.Parse(b, version)
	switch {
	case r.err != nil:
	case r.size == 0 && end:
		r.err = proxyproto.ErrMalformed
	case r.size == 0:
		return need
	default:
		for i := range r.header.TLVs {
			r.header.TLVs[i].Value = slices.Clone(r.header.TLVs[i].Value) // the buffer isn't ours
		}
	}
	return 0
}

func (r *introduction) disallows(v proxyproto.Version) bool {
	return v == proxyproto.V1 && r.config.NoV1 || v == proxyproto.V2 && r.config.NoV2
}

// looksFor: where connections without a header are let through, those with one of a disallowed version are among them.
func (r *introduction) looksFor(v proxyproto.Version) bool {
	return !r.config.Optional || !r.disallows(v)
}

// believe takes over what the header says.
func (v *visit) believe(c *config.ProxyProtocol, h *proxyproto.Header) {
	if !h.Local {
		v.peered = v.facts.Source
		v.facts.Source = netip.AddrPortFrom(h.Source.Addr().Unmap(), h.Source.Port())
		v.facts.Destination = netip.AddrPortFrom(h.Destination.Addr().Unmap(), h.Destination.Port())
	}
	for _, each := range h.TLVs {
		if c.Pass.Takes(each.Type) {
			v.tlvs = append(v.tlvs, each)
		}
		for i := range c.Rules {
			if rule := &c.Rules[i]; rule.Type == each.Type {
				v.setMetadata(rule, each)
			}
		}
	}
}

func (v *visit) setMetadata(rule *config.TLVRule, tlv stream.TLV) {
	value := strings.ToValidUTF8(string(tlv.Value), "!")
	if rule.Base64 {
		value = base64.StdEncoding.EncodeToString(tlv.Value)
	}
	if v.metadata == nil {
		v.metadata = map[string]map[string]any{}
	}
	if v.metadata[rule.Namespace] == nil {
		v.metadata[rule.Namespace] = map[string]any{}
	}
	v.metadata[rule.Namespace][rule.Key] = value
}

// countHeader counts `proxy_proto.` with the filter's prefix, as Envoy names it.
func (v *visit) countHeader(c *config.ProxyProtocol, r *introduction) {
	var name string
	versions := [...]string{proxyproto.V1: "versions.v1.", proxyproto.V2: "versions.v2."}
	switch {
	case r.err != nil:
		name = versions[r.version] + "error"
	case r.size > 0:
		name = versions[r.version] + "found"
	case r.refused != proxyproto.None:
		name = versions[r.refused] + "disallowed"
	case c.Optional:
		name = "not_found_allowed"
	default:
		name = "not_found_disallowed"
	}
	prefix := "proxy_proto."
	if c.StatPrefix != "" {
		prefix += strings.TrimSuffix(c.StatPrefix, ".") + "."
	}
	v.acceptor.Store.Counter(prefix + name).Add(1)
}
