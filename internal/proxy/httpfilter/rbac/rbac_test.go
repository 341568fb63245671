package rbac

import (
	"context"
	"net/netip"
	"testing"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/filter"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

func subject() Subject {
	c := &stream.Conn{
		Remote: netip.MustParseAddrPort("10.1.2.3:4000"), Local: netip.MustParseAddrPort("[::ffff:10.9.9.9]:8080"), SNI: "shop.com",
		TLS:      &stream.TLS{Mutual: true, PeerURISANs: []string{"spiffe://td/ns/foo/sa/web"}, PeerDNSSANs: []string{"web.com"}, PeerSubject: "CN=web"},
		Metadata: map[string]map[string]any{"f": {"k": "conn"}},
	}
	x := &stream.Exchange{
		Conn: c, Remote: netip.MustParseAddr("1.2.3.4"), FilterState: map[string]string{"s": "v"}, Metadata: map[string]map[string]any{"f": {"k": "v"}},
	}
	x.Request.Method, x.Request.Authority, x.Request.Path = "GET", "Shop.com", "/a/b?q=1"
	x.Request.Fields.Add("x-user", "u")
	return Subject{c, x}
}

func exact(v string) *config.StringMatch { return &config.StringMatch{Value: v} }

func prefix(p string) netip.Prefix { return netip.MustParsePrefix(p) }

// all are one rule of each kind and whether it takes the subject as a request, and as a mere connection.
func all() []struct {
	rule            config.Rule
	request, stream bool
} {
	regex, _ := config.NewRegex("/a/[^/]+")
	yes := &config.Rule{Kind: config.RuleAny}
	no := &config.Rule{Kind: config.RuleServerName, String: exact("no")}
	ports := func(a, b uint32) config.PortRange { return config.PortRange{Start: a, End: b} }
	metadata := func(v string) *config.MetadataMatch {
		return &config.MetadataMatch{Filter: "f", Path: []string{"k"}, Value: config.ValueMatch{String: exact(v)}}
	}
	return []struct {
		rule            config.Rule
		request, stream bool
	}{
		{config.Rule{Kind: config.RuleAny}, true, true},
		{config.Rule{Kind: config.RuleAnd, Rules: []*config.Rule{yes, yes}}, true, true},
		{config.Rule{Kind: config.RuleAnd, Rules: []*config.Rule{yes, no}}, false, false},
		{config.Rule{Kind: config.RuleOr, Rules: []*config.Rule{no, yes}}, true, true},
		{config.Rule{Kind: config.RuleOr, Rules: []*config.Rule{no, no}}, false, false},
		{config.Rule{Kind: config.RuleNot, Rules: []*config.Rule{no}}, true, true},
		{config.Rule{Kind: config.RuleNot, Rules: []*config.Rule{yes}}, false, false},
		{config.Rule{Kind: config.RuleHeader, Header: &config.HeaderMatch{Name: "x-user", Value: exact("u")}}, true, false},
		{config.Rule{Kind: config.RuleHeader, Header: &config.HeaderMatch{Name: ":method", Value: exact("POST")}}, false, false},
		{config.Rule{Kind: config.RuleHeader, Header: &config.HeaderMatch{Name: ":authority", Value: &config.StringMatch{Value: "shop.com", IgnoreCase: true}}}, true, false},
		{config.Rule{Kind: config.RulePath, String: exact("/a/b")}, true, false},
		{config.Rule{Kind: config.RulePath, String: exact("/a/b?q=1")}, false, false},
		{config.Rule{Kind: config.RuleTemplate, Regex: regex}, true, false},
		{config.Rule{Kind: config.RuleDestinationIP, Prefix: prefix("10.9.0.0/16")}, true, true},
		{config.Rule{Kind: config.RuleDestinationIP, Prefix: prefix("10.8.0.0/16")}, false, false},
		{config.Rule{Kind: config.RuleDestinationPort, Ports: ports(8080, 8081)}, true, true},
		{config.Rule{Kind: config.RuleDestinationPort, Ports: ports(80, 81)}, false, false},
		{config.Rule{Kind: config.RuleDestinationPortRange, Ports: ports(8000, 8081)}, true, true},
		{config.Rule{Kind: config.RuleDestinationPortRange, Ports: ports(8000, 8080)}, false, false},
		{config.Rule{Kind: config.RuleServerName, String: exact("shop.com")}, true, true},
		{config.Rule{Kind: config.RuleMetadata, Metadata: metadata("v")}, true, false},
		{config.Rule{Kind: config.RuleMetadata, Metadata: metadata("conn")}, false, true},
		{config.Rule{Kind: config.RuleAuthenticated}, true, true},
		{config.Rule{Kind: config.RuleAuthenticated, String: exact("spiffe://td/ns/foo/sa/web")}, true, true},
		{config.Rule{Kind: config.RuleAuthenticated, String: exact("web.com")}, false, false},
		{config.Rule{Kind: config.RuleDirectRemoteIP, Prefix: prefix("10.1.2.3/32")}, true, true},
		{config.Rule{Kind: config.RuleSourceIP, Prefix: prefix("10.1.2.3/32")}, true, true},
		{config.Rule{Kind: config.RuleRemoteIP, Prefix: prefix("1.0.0.0/8")}, true, false},
		{config.Rule{Kind: config.RuleRemoteIP, Prefix: prefix("10.1.2.3/32")}, false, true},
		{config.Rule{Kind: config.RuleFilterState, Key: "s", String: exact("v")}, true, false},
		{config.Rule{Kind: config.RuleFilterState, Key: "none"}, false, false},
		{config.Rule{Kind: config.RuleFilterState, Key: "io.istio.peer_principal", String: exact("spiffe://td/ns/foo/sa/web")}, true, true},
	}
}

func TestRules(t *testing.T) {
	request := subject()
	for i, c := range all() {
		if got := matches(&c.rule, request); got != c.request {
			t.Errorf("%d, of a request: %v", i, got)
		}
		if got := matches(&c.rule, Subject{Conn: request.Conn}); got != c.stream {
			t.Errorf("%d, of a connection: %v", i, got)
		}
	}
}

func TestAuthenticated(t *testing.T) {
	for i, c := range []struct {
		tls  *stream.TLS
		name *config.StringMatch
		want bool
	}{
		{nil, nil, false}, {&stream.TLS{}, nil, false}, {&stream.TLS{Mutual: true}, nil, true},
		{&stream.TLS{PeerURISANs: []string{"a"}}, exact("a"), false},
		{&stream.TLS{Mutual: true, PeerURISANs: []string{"a", "b"}}, exact("b"), true},
		{&stream.TLS{Mutual: true, PeerDNSSANs: []string{"d"}, PeerSubject: "s"}, exact("d"), true},
		{&stream.TLS{Mutual: true, PeerSubject: "s"}, exact("s"), true},
		{&stream.TLS{Mutual: true}, exact("s"), false},
	} {
		if got := authenticated(c.name, c.tls); got != c.want {
			t.Errorf("%d: %v", i, got)
		}
	}
}

func rules(action config.RBACAction, policies ...config.RBACPolicy) *config.RBACRules {
	return &config.RBACRules{Action: action, Policies: policies}
}

func policy(name string, takes bool) config.RBACPolicy {
	rule := []*config.Rule{{Kind: config.RuleAny}}
	if !takes {
		return config.RBACPolicy{Name: name, Permissions: rule, Principals: nil}
	}
	return config.RBACPolicy{Name: name, Permissions: rule, Principals: rule}
}

func TestAnswers(t *testing.T) {
	for i, c := range []struct {
		rules   *config.RBACRules
		details string // "": passes
	}{
		{nil, ""},
		{rules(config.RBACAllow), "rbac_access_denied_matched_policy[none]"},
		{rules(config.RBACAllow, policy("a", false)), "rbac_access_denied_matched_policy[none]"},
		{rules(config.RBACAllow, policy("a", false), policy("b", true)), ""},
		{rules(config.RBACDeny), ""},
		{rules(config.RBACDeny, policy("ns[foo]-policy[bar]-rule[0]", true)), "rbac_access_denied_matched_policy[ns[foo]-policy[bar]-rule[0]]"},
		{rules(config.RBACDeny, policy("with a\tblank", true)), "rbac_access_denied_matched_policy[with_a_blank]"},
		{rules(config.RBACLog, policy("a", true)), ""},
	} {
		s := subject()
		f, _ := New(&config.RBAC{Rules: c.rules}, filter.Deps{}.WithDefaults())
		reply := f.Request(context.Background(), s.X, nil)
		switch {
		case (reply == nil) != (c.details == ""):
			t.Errorf("%d: %+v", i, reply)
		case reply != nil && (reply.Status != 403 || reply.Body != "RBAC: access denied" || reply.Details != c.details || reply.Flags != 0):
			t.Errorf("%d: %+v", i, reply)
		}
		allowed, details := Connection(&config.RBAC{Rules: c.rules}, s.Conn, nil)
		if allowed != (c.details == "") || details != c.details {
			t.Errorf("%d, connection: %v %s", i, allowed, details)
		}
	}
}

func TestShadowAndLog(t *testing.T) {
	counted := map[string]int{}
	deps := filter.Deps{Counter: func(name string) func() { return func() { counted[name]++ } }}.WithDefaults()
	c := &config.RBAC{Shadow: rules(config.RBACDeny, policy("p", true)), ShadowPrefix: "dry_", Rules: rules(config.RBACLog, policy("p", true))}
	f, _ := New(c, deps)
	s := subject()
	if reply := f.Request(context.Background(), s.X, nil); reply != nil {
		t.Fatalf("%+v", reply)
	}
	m := s.X.Metadata
	if m[metadataName]["dry_shadow_effective_policy_id"] != "p" || m[metadataName]["dry_shadow_engine_result"] != "denied" || m["envoy.common"]["access_log_hint"] != true {
		t.Errorf("%v", m)
	}
	if counted["rbac.dry_shadow_denied"] != 1 || len(counted) != 1 {
		t.Errorf("%v", counted)
	}
	if v := Shadow(&config.RBAC{Shadow: c.Shadow}, s.Conn, nil); v.Allowed || s.Conn.Metadata["envoy.filters.network.rbac"]["shadow_engine_result"] != "denied" {
		t.Errorf("%v", s.Conn.Metadata)
	}
	f, _ = New(&config.RBAC{Rules: rules(config.RBACDeny, policy("p", true))}, deps)
	tr := &stream.Trace{}
	f.Request(context.Background(), s.X, tr)
	if len(tr.Steps) != 1 || tr.Steps[0].Reason != `rbac: denied, matched policy "p"` || counted["rbac.denied"] != 0 {
		t.Errorf("%v %v", tr.Steps, counted)
	}
}

func TestEvaluatingAllocatesNothing(t *testing.T) {
	s := subject()
	r := rules(config.RBACDeny)
	for i := range all() {
		if rule := all()[i].rule; !all()[i].request {
			r.Policies = append(r.Policies, config.RBACPolicy{Permissions: []*config.Rule{{Kind: config.RuleAny}}, Principals: []*config.Rule{&rule}})
		}
	}
	if n := testing.AllocsPerRun(100, func() {
		if !Evaluate(r, s).Allowed {
			t.Fatal("denied")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
