package listener

import (
	"slices"
	"strings"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// needs are what chains, filters or logs use of a connection's first bytes, as bits. What nobody uses isn't looked
// for: looking waits for the client to speak.
type needs uint8

const (
	needTLS  needs = 1 << iota // whether it's TLS, its server name, its ALPN
	needHTTP                   // what HTTP it looks like
)

// needsOf returns what one chain wants to know: for choosing it, and in its filters and logs.
func needsOf(chain *config.Chain) needs {
	n := needs(0)
	m := &chain.Match
	if m.TransportProtocol != "" || len(m.ServerNames) > 0 {
		n |= needTLS
	}
	if len(m.ApplicationProtocols) > 0 {
		n |= needTLS | needHTTP
	}
	if chain.TLS == nil && wantsServerName(chain) { // a handshake tells it anyway
		n |= needTLS
	}
	return n
}

func wantsServerName(chain *config.Chain) bool {
	for _, f := range chain.Filters {
		if rbac, ok := f.Config.(*config.RBAC); ok && (rulesWantName(rbac.Rules) || rulesWantName(rbac.Shadow)) {
			return true
		}
	}
	if chain.TCP != nil {
		return logsWantName(chain.TCP.AccessLogs)
	}
	return chain.HTTP != nil && logsWantName(chain.HTTP.AccessLogs)
}

func rulesWantName(rules *config.RBACRules) bool {
	if rules == nil {
		return false
	}
	for i := range rules.Policies {
		if anyWantsName(rules.Policies[i].Permissions) || anyWantsName(rules.Policies[i].Principals) {
			return true
		}
	}
	return false
}

func anyWantsName(rules []*config.Rule) bool {
	for _, r := range rules {
		if r.Kind == config.RuleServerName || anyWantsName(r.Rules) {
			return true
		}
	}
	return false
}

func logsWantName(logs []*config.AccessLog) bool {
	for _, l := range logs {
		if filterWantsName(l.Filter) || l.Remote != nil || l.Format != nil && (wantsName(l.Format.Source) || fieldsWantName(l.Format.JSON)) {
			return true // a remote log's entries have it
		}
	}
	return false
}

func filterWantsName(f *config.LogFilter) bool {
	return f != nil && (strings.Contains(f.Expression, "requested_server_name") || slices.ContainsFunc(f.Filters, filterWantsName))
}

func fieldsWantName(fields []config.FormatField) bool {
	for i := range fields {
		if wantsName(fields[i].Source) || fieldsWantName(fields[i].Fields) {
			return true
		}
	}
	return false
}

func wantsName(format string) bool { return strings.Contains(format, "%REQUESTED_SERVER_NAME") }
