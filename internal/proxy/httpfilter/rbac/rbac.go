// Package rbac is role-based access control, of requests and of connections. Rules and what is known of a request or
// connection come in, a Verdict goes out; New makes an HTTP filter of it, Connection is the network filter. Read this
// file first; rule.go evaluates a single rule.
package rbac

import (
	"context"
	"strings"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/filter"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// Subject is what rules are about: a connection, and the request on it, nil for a network filter.
type Subject struct {
	Conn *stream.Conn
	X    *stream.Exchange
}

// Verdict is what rules say. Policy is the first one that matched, in the order of names; empty: none.
type Verdict struct {
	Allowed bool
	Policy  string
}

// Evaluate returns the verdict of rules. nil rules allow everything.
func Evaluate(rules *config.RBACRules, s Subject) Verdict {
	if rules == nil {
		return Verdict{Allowed: true}
	}
	for i := range rules.Policies {
		p := &rules.Policies[i]
		if anyOf(p.Permissions, s) && anyOf(p.Principals, s) {
			return Verdict{rules.Action != config.RBACDeny, p.Name}
		}
	}
	return Verdict{Allowed: rules.Action != config.RBACAllow}
}

// Details are RESPONSE_CODE_DETAILS (or connection termination details) of a denial.
func (v Verdict) Details() string {
	policy := v.Policy
	if policy == "" {
		policy = "none"
	}
	return "rbac_access_denied_matched_policy[" + strings.Map(noSpace, policy) + "]"
}

func noSpace(r rune) rune {
	if r == ' ' || r >= '\t' && r <= '\r' {
		return '_'
	}
	return r
}

func (v Verdict) result() string {
	if v.Allowed {
		return "allowed"
	}
	return "denied"
}

type rbac struct {
	config                                       *config.RBAC
	allowed, denied, shadowAllowed, shadowDenied func()
}

// New returns the HTTP filter.
func New(c *config.RBAC, d filter.Deps) (filter.Filter, error) {
	return &rbac{
		c, d.Counter("rbac." + c.StatPrefix + "allowed"), d.Counter("rbac." + c.StatPrefix + "denied"),
		d.Counter("rbac." + c.ShadowPrefix + "shadow_allowed"), d.Counter("rbac." + c.ShadowPrefix + "shadow_denied"),
	}, nil
}

const (
	metadataName = "envoy.filters.http.rbac"
	commonName   = "envoy.common"
)

// Request answers 403 if the rules don't allow the request. Shadow rules only leave their verdict in metadata.
func (f *rbac) Request(_ context.Context, x *stream.Exchange, tr *stream.Trace) *filter.Reply {
	s := Subject{x.Conn, x}
	if f.config.Shadow != nil {
		f.shadow(x, Evaluate(f.config.Shadow, s), tr)
	}
	if f.config.Rules == nil {
		return nil
	}
	v := Evaluate(f.config.Rules, s)
	if tr.On() {
		tr.Note("filter", "rbac: %s, matched policy %q", v.result(), v.Policy)
	}
	if f.config.Rules.Action == config.RBACLog {
		filter.SetMetadata(x, commonName, "access_log_hint", v.Policy != "")
		return nil
	}
	if v.Allowed {
		count(f.allowed, tr)
		return nil
	}
	count(f.denied, tr)
	return &filter.Reply{Status: 403, Body: "RBAC: access denied", Details: v.Details()}
}

func (f *rbac) shadow(x *stream.Exchange, v Verdict, tr *stream.Trace) {
	if v.Policy != "" {
		filter.SetMetadata(x, metadataName, f.config.ShadowPrefix+"shadow_effective_policy_id", v.Policy)
	}
	filter.SetMetadata(x, metadataName, f.config.ShadowPrefix+"shadow_engine_result", v.result())
	if v.Allowed {
		count(f.shadowAllowed, tr)
	} else {
		count(f.shadowDenied, tr)
	}
	if tr.On() {
		tr.Note("filter", "rbac: shadow rules say %s, matched policy %q", v.result(), v.Policy)
	}
}

func count(counter func(), tr *stream.Trace) {
	if !tr.On() {
		counter()
	}
}

// Shadow is what the network filter does with shadow rules: their verdict is left in the connection's metadata, and returned.
func Shadow(c *config.RBAC, conn *stream.Conn, tr *stream.Trace) Verdict {
	v := Evaluate(c.Shadow, Subject{Conn: conn})
	if tr.On() {
		tr.Note("filter", "rbac: shadow rules say %s, matched policy %q", v.result(), v.Policy)
	}
	const name = "envoy.filters.network.rbac"
	if conn.Metadata == nil {
		conn.Metadata = map[string]map[string]any{}
	}
	if conn.Metadata[name] == nil { // several filters of a chain leave theirs under prefixes of their own
		conn.Metadata[name] = map[string]any{}
	}
	if v.Policy != "" {
		conn.Metadata[name][c.ShadowPrefix+"shadow_effective_policy_id"] = v.Policy
	}
	conn.Metadata[name][c.ShadowPrefix+"shadow_engine_result"] = v.result()
	return v
}

// Connection is the network filter without shadow rules: it reports whether a connection may go on, and if not its
// termination details.
func Connection(c *config.RBAC, conn *stream.Conn, tr *stream.Trace) (allowed bool, details string) {
	v := Evaluate(c.Rules, Subject{Conn: conn})
	if tr.On() {
		tr.Note("filter", "rbac: %s, matched policy %q", v.result(), v.Policy)
	}
	if v.Allowed {
		return true, ""
	}
	return false, v.Details()
}
