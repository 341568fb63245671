package xds

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	httprbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	networkrbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/rbac/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

func (d *decoder) rbac(t typed) any {
	var m httprbacv3.RBAC
	if !d.into(t, &m) {
		return nil
	}
	return d.rbacConfig(&m)
}

func (d *decoder) rbacConfig(m *httprbacv3.RBAC) *config.RBAC {
	out := &config.RBAC{StatPrefix: d.intern(m.GetRulesStatPrefix()), ShadowPrefix: d.intern(m.GetShadowRulesStatPrefix())}
	d.in("rules", func() { out.Rules = d.rules(m.GetRules()) })
	d.in("shadow_rules", func() { out.Shadow = d.rules(m.GetShadowRules()) })
	d.noMatchers(m.GetMatcher() != nil, m.GetShadowMatcher() != nil)
	d.noEffect(m.GetTrackPerRuleStats(), "track_per_rule_stats")
	return out
}

func (d *decoder) noMatchers(enforced, shadow bool) {
	if enforced {
		d.failIn("matcher", "not supported")
	}
	if shadow {
		d.failIn("shadow_matcher", "not supported")
	}
}

// rbacOverride decodes an RBACPerRoute; without rules it turns the filter off.
func (d *decoder) rbacOverride(t typed) config.Override {
	var m httprbacv3.RBACPerRoute
	if !d.into(t, &m) || m.Rbac == nil {
		return config.Override{Disabled: true}
	}
	var out *config.RBAC
	d.in("rbac", func() { out = d.rbacConfig(m.Rbac) })
	return config.Override{Config: out}
}

func (d *decoder) networkRBAC(t typed) any {
	var m networkrbacv3.RBAC
	if !d.into(t, &m) {
		return nil
	}
	out := &config.RBAC{StatPrefix: d.intern(m.StatPrefix), ShadowPrefix: d.intern(m.ShadowRulesStatPrefix)}
	d.in("rules", func() { out.Rules = d.rules(m.Rules) })
	d.in("shadow_rules", func() { out.Shadow = d.rules(m.ShadowRules) })
	d.noMatchers(m.Matcher != nil, m.ShadowMatcher != nil)
	d.noEffect(m.EnforcementType != networkrbacv3.RBAC_ONE_TIME_ON_FIRST_BYTE, "enforcement_type")
	d.noEffect(m.DelayDeny != nil, "delay_deny")
	return out
}

// rules decodes policies, sorted by name as Envoy tries them; nil: none are set, everything passes.
func (d *decoder) rules(r *rbacv3.RBAC) *config.RBACRules {
	if r == nil {
		return nil
	}
	out := &config.RBACRules{Action: choose(d, "action", int32(r.Action), []config.RBACAction{config.RBACAllow, config.RBACDeny, config.RBACLog})}
	for _, name := range sortedKeys(r.Policies) {
		d.in("policies["+excerpt(name)+"]", func() { out.Policies = append(out.Policies, d.policy(name, r.Policies[name])) })
	}
	d.noEffect(r.AuditLoggingOptions != nil, "audit_logging_options")
	return out
}

func (d *decoder) policy(name string, p *rbacv3.Policy) config.RBACPolicy {
	out := config.RBACPolicy{
		Name:        name,
		Permissions: d.permissions("permissions", p.GetPermissions()),
		Principals:  d.principals("principals", p.GetPrincipals()),
	}
	if p.GetCondition() != nil || p.GetCheckedCondition() != nil {
		d.failIn("condition", "not supported")
	}
	if len(out.Permissions) == 0 {
		d.failIn("permissions", "none")
	}
	if len(out.Principals) == 0 {
		d.failIn("principals", "none")
	}
	return out
}

func (d *decoder) permissions(field string, list []*rbacv3.Permission) []*config.Rule {
	out := make([]*config.Rule, 0, len(list))
	for i, p := range list {
		d.at(field, i, func() { out = append(out, d.permission(p)) })
	}
	return out
}

func (d *decoder) permission(p *rbacv3.Permission) *config.Rule {
	out := &config.Rule{}
	switch r := p.GetRule().(type) {
	case *rbacv3.Permission_AndRules:
		out.Kind, out.Rules = config.RuleAnd, d.permissions("and_rules.rules", r.AndRules.GetRules())
	case *rbacv3.Permission_OrRules:
		out.Kind, out.Rules = config.RuleOr, d.permissions("or_rules.rules", r.OrRules.GetRules())
	case *rbacv3.Permission_NotRule:
		d.in("not_rule", func() { out.Kind, out.Rules = config.RuleNot, []*config.Rule{d.permission(r.NotRule)} })
	case *rbacv3.Permission_Any:
		d.anyRule(r.Any)
	case *rbacv3.Permission_Header:
		d.in("header", func() { out.Kind, out.Header = config.RuleHeader, d.headerMatch(r.Header) })
	case *rbacv3.Permission_UrlPath:
		d.in("url_path", func() { d.pathRule(r.UrlPath, out) })
	case *rbacv3.Permission_UriTemplate:
		d.in("uri_template", func() { d.templateRule(d.open(r.UriTemplate.GetTypedConfig()), out) })
	case *rbacv3.Permission_DestinationIp:
		d.in("destination_ip", func() { out.Kind, out.Prefix = config.RuleDestinationIP, d.prefix(r.DestinationIp) })
	case *rbacv3.Permission_DestinationPort:
		port := d.port("destination_port", r.DestinationPort)
		out.Kind, out.Ports = config.RuleDestinationPort, config.PortRange{Start: uint32(port), End: uint32(port) + 1}
	case *rbacv3.Permission_DestinationPortRange:
		out.Kind = config.RuleDestinationPortRange
		d.portRange(r.DestinationPortRange.GetStart(), r.DestinationPortRange.GetEnd(), out)
	case *rbacv3.Permission_Metadata:
		d.in("metadata", func() { out.Kind, out.Metadata = config.RuleMetadata, d.metadataMatch(r.Metadata) })
	case *rbacv3.Permission_RequestedServerName:
		d.in("requested_server_name", func() { out.Kind, out.String = config.RuleServerName, d.stringMatch(r.RequestedServerName) })
	case *rbacv3.Permission_SourcedMetadata:
		d.in("sourced_metadata", func() { d.sourced(r.SourcedMetadata, out) })
	default:
		d.fail("this kind of permission is not supported")
	}
	return out
}

// anyRule refuses `any: false`, which means nothing.
func (d *decoder) anyRule(value bool) {
	if !value {
		d.failIn("any", "must be true")
	}
}

func (d *decoder) portRange(start, end int32, out *config.Rule) {
	if start < 0 || end > 65536 || start >= end {
		d.failIn("destination_port_range", "%d to %d is not a range of ports", start, end)
		return
	}
	out.Ports = config.PortRange{Start: uint32(start), End: uint32(end)}
}

func (d *decoder) pathRule(p *matcherv3.PathMatcher, out *config.Rule) {
	out.Kind = config.RulePath
	d.in("path", func() { out.String = d.stringMatch(p.GetPath()) })
}

func (d *decoder) sourced(s *rbacv3.SourcedMetadata, out *config.Rule) {
	if s.GetMetadataSource() != rbacv3.MetadataSource_DYNAMIC {
		d.failIn("metadata_source", "%s is not supported", s.GetMetadataSource())
	}
	out.Kind = config.RuleMetadata
	d.in("metadata_matcher", func() { out.Metadata = d.metadataMatch(s.GetMetadataMatcher()) })
}

func (d *decoder) principals(field string, list []*rbacv3.Principal) []*config.Rule {
	out := make([]*config.Rule, 0, len(list))
	for i, p := range list {
		d.at(field, i, func() { out = append(out, d.principal(p)) })
	}
	return out
}

func (d *decoder) principal(p *rbacv3.Principal) *config.Rule {
	out := &config.Rule{}
	switch r := p.GetIdentifier().(type) {
	case *rbacv3.Principal_AndIds:
		out.Kind, out.Rules = config.RuleAnd, d.principals("and_ids.ids", r.AndIds.GetIds())
	case *rbacv3.Principal_OrIds:
		out.Kind, out.Rules = config.RuleOr, d.principals("or_ids.ids", r.OrIds.GetIds())
	case *rbacv3.Principal_NotId:
		d.in("not_id", func() { out.Kind, out.Rules = config.RuleNot, []*config.Rule{d.principal(r.NotId)} })
	case *rbacv3.Principal_Any:
		d.anyRule(r.Any)
	case *rbacv3.Principal_Authenticated_:
		d.authenticated(r.Authenticated, out)
	case *rbacv3.Principal_SourceIp:
		d.addressRule("source_ip", config.RuleSourceIP, r.SourceIp, out)
	case *rbacv3.Principal_DirectRemoteIp:
		d.addressRule("direct_remote_ip", config.RuleDirectRemoteIP, r.DirectRemoteIp, out)
	case *rbacv3.Principal_RemoteIp:
		d.addressRule("remote_ip", config.RuleRemoteIP, r.RemoteIp, out)
	case *rbacv3.Principal_Header:
		d.in("header", func() { out.Kind, out.Header = config.RuleHeader, d.headerMatch(r.Header) })
	case *rbacv3.Principal_UrlPath:
		d.in("url_path", func() { d.pathRule(r.UrlPath, out) })
	case *rbacv3.Principal_Metadata:
		d.in("metadata", func() { out.Kind, out.Metadata = config.RuleMetadata, d.metadataMatch(r.Metadata) })
	case *rbacv3.Principal_SourcedMetadata:
		d.in("sourced_metadata", func() { d.sourced(r.SourcedMetadata, out) })
	case *rbacv3.Principal_FilterState:
		d.in("filter_state", func() { d.filterState(r.FilterState, out) })
	default:
		d.fail("this kind of principal is not supported")
	}
	return out
}

func (d *decoder) authenticated(a *rbacv3.Principal_Authenticated, out *config.Rule) {
	out.Kind = config.RuleAuthenticated
	if a.GetPrincipalName() != nil {
		d.in("authenticated.principal_name", func() { out.String = d.stringMatch(a.GetPrincipalName()) })
	}
}

func (d *decoder) addressRule(field string, kind config.RuleKind, r *corev3.CidrRange, out *config.Rule) {
	d.in(field, func() { out.Kind, out.Prefix = kind, d.prefix(r) })
}

func (d *decoder) filterState(m *matcherv3.FilterStateMatcher, out *config.Rule) {
	out.Kind, out.Key = config.RuleFilterState, d.intern(m.GetKey())
	s, ok := m.GetMatcher().(*matcherv3.FilterStateMatcher_StringMatch)
	if !ok {
		d.fail("only string_match is supported")
		return
	}
	d.in("string_match", func() { out.String = d.stringMatch(s.StringMatch) })
}
