package rbac

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

func anyOf(rules []*config.Rule, s Subject) bool {
	for _, r := range rules {
		if matches(r, s) {
			return true
		}
	}
	return false
}

func allOf(rules []*config.Rule, s Subject) bool {
	for _, r := range rules {
		if !matches(r, s) {
			return false
		}
	}
	return true
}

// matches reports whether a permission or principal takes s. What a connection hasn't got (headers, a path) matches
// nothing.
func matches(r *config.Rule, s Subject) bool {
	switch r.Kind {
	case config.RuleAny:
		return true
	case config.RuleAnd:
		return allOf(r.Rules, s)
	case config.RuleOr:
		return anyOf(r.Rules, s)
	case config.RuleNot:
		return len(r.Rules) == 1 && !matches(r.Rules[0], s)
	case config.RuleHeader:
		return header(r.Header, s.X)
	case config.RulePath, config.RuleTemplate:
		return path(r, s.X)
	case config.RuleMetadata:
		return r.Metadata.Match(s.metadata())
	case config.RuleAuthenticated:
		return authenticated(r.String, s.Conn.TLS)
	case config.RuleFilterState:
		value, there := s.state(r.Key)
		return there && (r.String == nil || r.String.Match(value))
	default:
		return address(r, s)
	}
}

func address(r *config.Rule, s Subject) bool {
	port := uint32(s.Conn.Local.Port())
	switch r.Kind {
	case config.RuleDestinationIP:
		return holds(r.Prefix, s.Conn.Local.Addr())
	case config.RuleDestinationPort:
		return port == r.Ports.Start
	case config.RuleDestinationPortRange:
		return r.Ports.Start <= port && port < r.Ports.End
	case config.RuleServerName:
		return r.String != nil && r.String.Match(s.Conn.SNI)
	case config.RuleRemoteIP:
		return holds(r.Prefix, s.client())
	case config.RuleSourceIP:
		return holds(r.Prefix, s.Conn.Remote.Addr())
	case config.RuleDirectRemoteIP:
		return holds(r.Prefix, s.Conn.Direct().Addr())
	default:
		return false
	}
}

func holds(p netip.Prefix, a netip.Addr) bool { return p.Contains(a.Unmap()) }

func (s Subject) client() netip.Addr {
	if s.X != nil {
		return s.X.Client().Addr()
	}
	return s.Conn.Remote.Addr()
}

func (s Subject) metadata() map[string]map[string]any {
	if s.X != nil {
		return s.X.Metadata
	}
	return s.Conn.Metadata
}

// state is a name of filter state. Istio's peer principal is the certificate's unless somebody told another one.
func (s Subject) state(key string) (string, bool) {
	if s.X != nil {
		if value, there := s.X.FilterState[key]; there {
			return value, true
		}
	}
	if key == "io.istio.peer_principal" {
		principal := s.Conn.Principal()
		return principal, principal != ""
	}
	return "", false
}

func header(m *config.HeaderMatch, x *stream.Exchange) bool {
	if x == nil {
		return m.Match("", false)
	}
	return m.Match(x.Request.Joined(m.Name))
}

func path(r *config.Rule, x *stream.Exchange) bool {
	if x == nil {
		return false
	}
	text, _, _ := strings.Cut(x.Request.Path, "?")
	if r.Kind == config.RuleTemplate {
		return r.Regex != nil && r.Regex.Match(text)
	}
	return r.String != nil && r.String.Match(text)
}

// authenticated compares the client's URI names; a certificate without any is known by its DNS names, then by its
// subject. Without a matcher any verified certificate will do.
func authenticated(m *config.StringMatch, tls *stream.TLS) bool {
	switch {
	case tls == nil || !tls.Mutual:
		return false
	case m == nil:
		return true
	case len(tls.PeerURISANs) > 0:
		return slices.ContainsFunc(tls.PeerURISANs, m.Match)
	case len(tls.PeerDNSSANs) > 0:
		return slices.ContainsFunc(tls.PeerDNSSANs, m.Match)
	default:
		return m.Match(tls.PeerSubject)
	}
}
