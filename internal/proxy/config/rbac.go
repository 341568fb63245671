package config

import "net/netip"

// RBACAction is RBAC.action.
type RBACAction uint8

// The actions.
const (
	RBACAllow RBACAction = iota
	RBACDeny
	RBACLog
)

// RBAC is the role-based access control filter, network or HTTP.
type RBAC struct {
	Rules        *RBACRules // nil: everything passes
	Shadow       *RBACRules
	StatPrefix   string
	ShadowPrefix string
}

// RBACRules are policies in the order of their names.
type RBACRules struct {
	Action   RBACAction
	Policies []RBACPolicy
}

// RBACPolicy takes what one of its permissions and one of its principals take.
type RBACPolicy struct {
	Name        string
	Permissions []*Rule
	Principals  []*Rule
}

// RuleKind is a kind of RBAC rule.
type RuleKind uint8

// The kinds of permissions and principals.
const (
	RuleAny RuleKind = iota
	RuleAnd
	RuleOr
	RuleNot
	RuleHeader
	RulePath
	RuleTemplate
	RuleDestinationIP
	RuleDestinationPort
	RuleDestinationPortRange
	RuleServerName
	RuleMetadata
	RuleAuthenticated
	RuleDirectRemoteIP
	RuleRemoteIP
	RuleSourceIP
	RuleFilterState
)

// Rule is a Permission or a Principal.
type Rule struct {
	Kind     RuleKind
	Rules    []*Rule
	Header   *HeaderMatch
	String   *StringMatch // path, server name, principal (nil: any authenticated), filter state
	Prefix   netip.Prefix
	Ports    PortRange
	Metadata *MetadataMatch
	Key      string // of filter state
	Regex    *Regex // of a template
}
