package proxy

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	ratelimitv3 "github.com/envoyproxy/go-control-plane/envoy/service/ratelimit/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// limiter limits who says so in x-say.
type limiter struct {
	ratelimitv3.UnimplementedRateLimitServiceServer
}

func (limiter) ShouldRateLimit(_ context.Context, q *ratelimitv3.RateLimitRequest) (*ratelimitv3.RateLimitResponse, error) {
	said := q.GetDescriptors()[0].GetEntries()[1].GetValue()
	switch said {
	case "yes":
		return &ratelimitv3.RateLimitResponse{
			OverallCode: ratelimitv3.RateLimitResponse_OK,
			Statuses: []*ratelimitv3.RateLimitResponse_DescriptorStatus{{
				CurrentLimit: &ratelimitv3.RateLimitResponse_RateLimit{RequestsPerUnit: 5, Unit: ratelimitv3.RateLimitResponse_RateLimit_MINUTE}, LimitRemaining: 4,
			}},
			RequestHeadersToAdd: []*corev3.HeaderValue{{Key: "x-saw", Value: q.GetDomain() + " " + q.GetDescriptors()[0].GetEntries()[0].GetValue()}},
		}, nil
	case "no":
		return &ratelimitv3.RateLimitResponse{OverallCode: ratelimitv3.RateLimitResponse_OVER_LIMIT, RawBody: []byte("slow down")}, nil
	}
	return nil, status.Error(codes.Unavailable, "not today")
}

// clusterJSON is a static cluster of one host; more are further fields, with a comma behind.
func clusterJSON(name, address, more string) string {
	host, port, _ := net.SplitHostPort(address)
	return fmt.Sprintf(`{"name": %q, "type": "STATIC", "connect_timeout": "20s", %s "load_assignment": {"cluster_name": %q, "endpoints": [{"lb_endpoints": [
		{"endpoint": {"address": {"socket_address": {"address": %q, "port_value": %s}}}}]}]}}`, name, more, name, host, port)
}

const speaksHTTP2 = `"typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
	"@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions", "explicit_http_config": {"http2_protocol_options": {}}}},`

// grpcServer serves until the test ends, and returns its address.
func grpcServer(t *testing.T, register func(*grpc.Server)) string {
	t.Helper()
	l := listen(t)
	s := grpc.NewServer()
	register(s)
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	return l.Addr().String()
}

// headsBack answers each request with those lines of its head that begin with a prefix, in one.
func headsBack(t *testing.T, prefix string) string {
	t.Helper()
	return backend(t, func(c *net.TCPConn) {
		buf := make([]byte, 4096)
		got := ""
		for !strings.Contains(got, "\r\n\r\n") {
			n, err := c.Read(buf)
			if err != nil {
				return
			}
			got += string(buf[:n])
		}
		saw := ""
		for line := range strings.Lines(got) {
			if strings.HasPrefix(line, prefix) {
				saw += strings.TrimSpace(line) + ";"
			}
		}
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(saw), saw)
	})
}

// TestRateLimitService: the filter asks a real service about what the route's actions make of a request.
func TestRateLimitService(t *testing.T) {
	service := grpcServer(t, func(s *grpc.Server) { ratelimitv3.RegisterRateLimitServiceServer(s, limiter{}) })
	application := headsBack(t, "x-saw")
	r := newRig(t, func(o *Options) {
		o.Bootstrap = inboundOf(t, `"route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "app",
				"rate_limits": [{"actions": [{"query_parameters": {"query_parameter_name": "q", "descriptor_key": "q"}}, {"request_headers": {"header_name": "x-say", "descriptor_key": "say"}}]}]}}]}]}`,
			`{"name": "envoy.filters.http.ratelimit", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.ratelimit.v3.RateLimit",
				"domain": "d", "timeout": "20s", "failure_mode_deny": true, "enable_x_ratelimit_headers": "DRAFT_VERSION_03",
				"rate_limit_service": {"transport_api_version": "V3", "grpc_service": {"envoy_grpc": {"cluster_name": "rls"}}}}},`, "",
			`"clusters": [`+clusterJSON("app", application, "")+", "+clusterJSON("rls", service, speaksHTTP2)+"],")
	})
	r.sendTo("127.0.0.1:80")
	<-r.Warm()
	for say, want := range map[string][]string{
		"yes":   {"HTTP/1.1 200 ", "x-saw: d 7;", "x-ratelimit-limit: 5, 5;w=60\r\n", "x-ratelimit-remaining: 4\r\n"},
		"no":    {"HTTP/1.1 429 ", "x-envoy-ratelimited: true\r\n", "slow down"},
		"maybe": {"HTTP/1.1 500 "},
		"":      {"HTTP/1.1 200 "}, // no header, no descriptor
	} {
		field := "X-Say: " + say + "\r\n"
		if say == "" {
			field = ""
		}
		got := ask(t, r.inbound, "GET /a?q=7 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"+field+"\r\n")
		for _, part := range want {
			if !strings.Contains(got, part) {
				t.Errorf("%q: no %q in %q", say, part, got)
			}
		}
	}
	for name, want := range map[string]uint64{"ok": 1, "over_limit": 1, "error": 1, "failure_mode_allowed": 0} {
		if got := r.store.Cluster("app").Extra("ratelimit." + name).Load(); got != want {
			t.Errorf("%s: %d", name, got)
		}
	}
}
