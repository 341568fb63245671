package proxy

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/pillion-mesh/pillion/internal/proxy/telemetry"
)

// TestGRPCStats: calls through the proxy are counted by method, with their status and messages.
func TestGRPCStats(t *testing.T) {
	service := grpcServer(t, func(s *grpc.Server) { authv3.RegisterAuthorizationServer(s, authorization{}) })
	r := newRig(t, func(o *Options) {
		o.Bootstrap = inboundOf(t, `"route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "app"}}]}]}`,
			`{"name": "envoy.filters.http.grpc_stats", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.grpc_stats.v3.FilterConfig",
				"emit_filter_state": true, "stats_for_all_methods": true, "enable_upstream_stats": true}},`, "",
			`"clusters": [`+clusterJSON("app", service, speaksHTTP2)+"],")
	})
	r.sendTo("127.0.0.1:80")
	<-r.Warm()
	conn, err := grpc.NewClient(r.inbound, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	client := authv3.NewAuthorizationClient(conn)
	say := func(what string) *authv3.CheckRequest {
		return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{Headers: map[string]string{"x-say": what}}}}}
	}
	if _, err := client.Check(ctx, say("yes")); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Check(ctx, say("")); err == nil {
		t.Fatal("the service said yes")
	}
	const method = "cluster.app.grpc.envoy.service.auth.v3.Authorization.Check."
	eventually(t, "the calls are counted", func() error {
		var b strings.Builder
		if err := r.store.WriteText(&b, telemetry.Process{}, telemetry.Query{}); err != nil {
			t.Fatal(err)
		}
		for _, line := range []string{"total: 2", "success: 1", "failure: 1", "0: 1", "14: 1", "request_message_count: 2", "response_message_count: 1", "upstream_rq_time: P0("} {
			if !strings.Contains(b.String(), method+line) {
				return errors.New("no " + line)
			}
		}
		return nil
	})
}

// TestHealthCheckFilter: checks are answered without the application, and as the admin API has it.
func TestHealthCheckFilter(t *testing.T) {
	application := headsBack(t, "GET")
	r := newRig(t, func(o *Options) {
		o.Self.Service = "shop"
		o.Bootstrap = inboundOf(t, `"route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "app"}}]}]}`,
			`{"name": "envoy.filters.http.health_check", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.health_check.v3.HealthCheck",
				"pass_through_mode": false, "cluster_min_healthy_percentages": {"app": {"value": 100}}, "headers": [{"name": ":path", "string_match": {"exact": "/healthz"}}]}},`, "",
			`"clusters": [`+clusterJSON("app", application, "")+"],")
	})
	r.sendTo("127.0.0.1:80")
	<-r.Warm()
	for _, c := range []struct {
		failing bool
		path    string
		want    []string
	}{
		{false, "/healthz", []string{"HTTP/1.1 200 ", "x-envoy-upstream-healthchecked-cluster: shop\r\n", "content-length: 0\r\n"}},
		{false, "/other", []string{"HTTP/1.1 200 ", "GET /other"}},
		{true, "/healthz", []string{"HTTP/1.1 503 ", "x-envoy-upstream-healthchecked-cluster: shop\r\n"}},
		{true, "/other", []string{"HTTP/1.1 200 ", "x-envoy-immediate-health-check-fail: true\r\n", "GET /other"}},
	} {
		operations{r.Server}.FailHealth(c.failing)
		got := ask(t, r.inbound, "GET "+c.path+" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		for _, part := range c.want {
			if !strings.Contains(got, part) {
				t.Errorf("%v %s: no %q in %q", c.failing, c.path, part, got)
			}
		}
	}
}
