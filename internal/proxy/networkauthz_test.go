package proxy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pillion-mesh/pillion/internal/proxy/config/xds"
)

// porter lets connections in as its mood is.
type porter struct {
	authv3.UnimplementedAuthorizationServer
	code codes.Code // of the answer; Unavailable: there is none
}

func (p *porter) Check(_ context.Context, q *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	if q.GetAttributes().GetRequest() != nil || q.GetAttributes().GetSource().GetAddress() == nil {
		return nil, status.Error(codes.InvalidArgument, "not about a connection")
	}
	if p.code == codes.Unavailable {
		return nil, status.Error(p.code, "not today")
	}
	return &authv3.CheckResponse{Status: &rpcstatus.Status{Code: int32(p.code)}}, nil
}

// guarded is a bootstrap whose inbound connections pass filters before the last one of their chain.
func guarded(t *testing.T, filters, last, clusters string) *xds.BootstrapConfig {
	t.Helper()
	b, err := xds.Bootstrap([]byte(`{"node": {"id": "n"}, "static_resources": {"clusters": [` + clusters + `], "listeners": [{"name": "virtualInbound", ` + listenerLog + `
		"address": {"socket_address": {"address": "0.0.0.0", "port_value": 15006}}, "filter_chains": [{"filters": [` + filters + last + `]}]}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const (
	tcpTerminal = `{"name": "tcp", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", "stat_prefix": "t", "cluster": "app",
		"access_log": [{"name": "l", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
			"log_format": {"text_format_source": {"inline_string": "%RESPONSE_FLAGS% %CONNECTION_TERMINATION_DETAILS%\n"}}}}]}}`
	httpTerminal = `{"name": "hcm", "typed_config": {"@type": "` + hcm + `", "stat_prefix": "in",
		"route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "app"}}]}]},
		"http_filters": [{"name": "router", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}]}}`
)

func porterFilter(allow bool) string {
	return fmt.Sprintf(`{"name": "ext_authz", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.network.ext_authz.v3.ExtAuthz", "stat_prefix": "p", "failure_mode_allow": %v,
		"grpc_service": {"timeout": "20s", "envoy_grpc": {"cluster_name": "authz"}}}},`, allow)
}

// listenerLog is the access log of a listener itself.
const listenerLog = `"access_log": [{"name": "l", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
	"log_format": {"text_format_source": {"inline_string": "listener: %RESPONSE_FLAGS% %CONNECTION_TERMINATION_DETAILS%\n"}}}}],`

// served reports whether a request through the proxy is answered; a connection that isn't let in is closed.
func served(t *testing.T, address string) bool {
	t.Helper()
	c := dial(t, address)
	defer c.Close()
	_, _ = c.Write([]byte("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"))
	buf := make([]byte, 16)
	n, _ := c.Read(buf)
	return strings.HasPrefix(string(buf[:n]), "HTTP/1.1 200")
}

// TestShadowRules: they are counted and left for logs, and close nothing, as istiod's dry runs want it.
func TestShadowRules(t *testing.T) {
	const rules = `{"action": "DENY", "policies": {"no one": {"permissions": [{"any": true}], "principals": [{"any": true}]}}}`
	const shadow = `{"name": "rbac", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC", "stat_prefix": "tcp.",
		"shadow_rules_stat_prefix": "istio_dry_run_deny_", "shadow_rules": ` + rules + `}},`
	for kind, last := range map[string]string{"TCP": strings.Replace(tcpTerminal, "%RESPONSE_FLAGS%", "%DYNAMIC_METADATA(envoy.filters.network.rbac)%", 1), "HTTP": httpTerminal} {
		t.Run(kind, func(t *testing.T) {
			application := headsBack(t, "GET")
			r := newRig(t, func(o *Options) { o.Bootstrap = guarded(t, shadow, last, clusterJSON("app", application, "")) })
			r.sendTo("127.0.0.1:80")
			<-r.Warm()
			if !served(t, r.inbound) {
				t.Error("shadow rules keep a connection out")
			}
			for stat, want := range map[string]uint64{"istio_dry_run_deny_shadow_denied": 1, "istio_dry_run_deny_shadow_allowed": 0, "allowed": 0, "denied": 0} {
				if got := r.store.Counter("tcp.rbac." + stat).Load(); got != want {
					t.Errorf("%s: %d", stat, got)
				}
			}
			if kind == "TCP" {
				r.logged(`\x22istio_dry_run_deny_shadow_effective_policy_id\x22:\x22no one\x22,\x22istio_dry_run_deny_shadow_engine_result\x22:\x22denied\x22} -`)
			}
		})
	}
}

// logged waits for a line that ends in want.
func (r *rig) logged(want string) {
	r.t.Helper()
	eventually(r.t, "the log says why", func() error {
		if got := "\n" + r.log.String(); !strings.Contains(got, want+"\n") {
			return fmt.Errorf("no %q in %q", want, got)
		}
		return nil
	})
}

// TestRefusedConnectionsAreLogged: the listener's line has flags and details of whichever filter refused.
func TestRefusedConnectionsAreLogged(t *testing.T) {
	const n = "type.googleapis.com/envoy.extensions.filters.network."
	for name, c := range map[string]struct{ filter, want string }{
		"rbac": {`{"name": "rbac", "typed_config": {"@type": "` + n + `rbac.v3.RBAC", "stat_prefix": "r.", "rules": {"action": "ALLOW"}}},`, "- rbac_access_denied_matched_policy[none]"},
		"local_ratelimit": {`{"name": "limit", "typed_config": {"@type": "` + n + `local_ratelimit.v3.LocalRateLimit", "stat_prefix": "l",
			"token_bucket": {"max_tokens": 1, "fill_interval": "3600s"}}},`, "RL local_ratelimit_close_over_limit"},
		"connection_limit": {`{"name": "limit", "typed_config": {"@type": "` + n + `connection_limit.v3.ConnectionLimit", "stat_prefix": "l", "max_connections": "1"}},`, "- connection_limit"},
	} {
		for kind, last := range map[string]string{"TCP": tcpTerminal, "HTTP": httpTerminal} {
			t.Run(name+" "+kind, func(t *testing.T) {
				application := headsBack(t, "GET")
				r := newRig(t, func(o *Options) { o.Bootstrap = guarded(t, c.filter, last, clusterJSON("app", application, "")) })
				r.sendTo("127.0.0.1:80")
				<-r.Warm()
				held := dial(t, r.inbound) // what is limited to one has it then
				defer held.Close()
				eventually(t, "one is refused", func() error {
					if served(t, r.inbound) {
						return errors.New("it was served")
					}
					return nil
				})
				r.logged("\nlistener: " + c.want)
			})
		}
	}
}

// TestConnectionsAreAuthorized: the service is asked before the upstream is dialled, for TCP and for HTTP.
func TestConnectionsAreAuthorized(t *testing.T) {
	for name, c := range map[string]struct {
		code         codes.Code
		allow, serve bool
		details      string // of the log line of one that isn't let in
		counted      string
	}{
		"allowed":       {codes.OK, false, true, "", "ok"},
		"denied":        {codes.PermissionDenied, false, false, "UAEX ext_authz_denied", "denied"},
		"denied, lax":   {codes.PermissionDenied, true, false, "UAEX ext_authz_denied", "denied"},
		"gone":          {codes.Unavailable, false, false, "UAEX ext_authz_error", "error"},
		"gone, lenient": {codes.Unavailable, true, true, "", "failure_mode_allowed"},
	} {
		for kind, last := range map[string]string{"TCP": tcpTerminal, "HTTP": httpTerminal} {
			t.Run(name+" "+kind, func(t *testing.T) {
				service := grpcServer(t, func(s *grpc.Server) { authv3.RegisterAuthorizationServer(s, &porter{code: c.code}) })
				application := headsBack(t, "GET")
				r := newRig(t, func(o *Options) {
					o.Bootstrap = guarded(t, porterFilter(c.allow), last, clusterJSON("app", application, "")+", "+clusterJSON("authz", service, speaksHTTP2))
				})
				r.sendTo("127.0.0.1:80")
				<-r.Warm()
				if got := served(t, r.inbound); got != c.serve {
					t.Errorf("served: %v", got)
				}
				for stat, want := range map[string]uint64{"total": 1, c.counted: 1} {
					if got := r.store.Counter("ext_authz.p." + stat).Load(); got != want {
						t.Errorf("%s: %d", stat, got)
					}
				}
				if total := r.store.Cluster("app").CxTotal.Load(); (total > 0) != c.serve {
					t.Errorf("the upstream was dialled %d times", total)
				}
				if !c.serve {
					r.logged("listener: " + c.details)
				}
				if kind == "TCP" && !c.serve {
					r.logged("\n" + c.details)
				}
			})
		}
	}
}

// TestNetworkFiltersBeforeHTTP: what network filters say counts for HTTP connections too, and a place is free again when one ends.
func TestNetworkFiltersBeforeHTTP(t *testing.T) {
	const limit = `{"name": "limit", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit", "stat_prefix": "l", "max_connections": "1"}},`
	const deny = `{"name": "rbac", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC", "stat_prefix": "r.", "rules": {"action": "ALLOW"}}},`
	application := headsBack(t, "GET")
	r := newRig(t, func(o *Options) { o.Bootstrap = guarded(t, deny, httpTerminal, clusterJSON("app", application, "")) })
	r.sendTo("127.0.0.1:80")
	<-r.Warm()
	if served(t, r.inbound) || r.store.Counter("r.rbac.denied").Load() != 1 {
		t.Error("RBAC before an HTTP connection manager isn't asked")
	}
	l := newRig(t, func(o *Options) { o.Bootstrap = guarded(t, limit, httpTerminal, clusterJSON("app", application, "")) })
	l.sendTo("127.0.0.1:80")
	<-l.Warm()
	held := dial(t, l.inbound)
	active := func(want int64) {
		eventually(t, fmt.Sprintf("%d connections", want), func() error {
			if got := l.store.Gauge("connection_limit.l.active_connections").Load(); got != want {
				return fmt.Errorf("there are %d", got)
			}
			return nil
		})
	}
	active(1)
	if served(t, l.inbound) {
		t.Error("a second connection was let in")
	}
	held.Close()
	active(0)
	if !served(t, l.inbound) {
		t.Error("the place isn't free again")
	}
}
