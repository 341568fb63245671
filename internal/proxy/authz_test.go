package proxy

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// authorization lets through who says so, and tells the application what it saw.
type authorization struct {
	authv3.UnimplementedAuthorizationServer
}

func (authorization) Check(_ context.Context, q *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	h := q.GetAttributes().GetRequest().GetHttp()
	switch h.GetHeaders()["x-say"] {
	case "yes":
		saw := fmt.Sprintf("%s %s %q", h.GetMethod(), h.GetPath(), h.GetBody())
		return &authv3.CheckResponse{HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{
			Headers:              []*corev3.HeaderValueOption{{Header: &corev3.HeaderValue{Key: "x-saw", Value: saw}}},
			HeadersToRemove:      []string{"x-say"},
			ResponseHeadersToAdd: []*corev3.HeaderValueOption{{Header: &corev3.HeaderValue{Key: "x-checked", Value: "1"}}},
		}}}, nil
	case "no":
		return &authv3.CheckResponse{Status: &rpcstatus.Status{Code: int32(codes.PermissionDenied)}, HttpResponse: &authv3.CheckResponse_DeniedResponse{
			DeniedResponse: &authv3.DeniedHttpResponse{Status: &typev3.HttpStatus{Code: 401}, Body: "who are you?", Headers: []*corev3.HeaderValueOption{{Header: &corev3.HeaderValue{Key: "x-why", Value: "w"}}}},
		}}, nil
	}
	return nil, status.Error(codes.Unavailable, "not today")
}

// TestAuthorizationOverGRPC: the filter asks a real server over the cluster's HTTP/2, with the body it may see; the body
// reaches the application all the same.
func TestAuthorizationOverGRPC(t *testing.T) {
	l := listen(t)
	s := grpc.NewServer()
	authv3.RegisterAuthorizationServer(s, authorization{})
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	application := backend(t, func(c *net.TCPConn) {
		buf := make([]byte, 4096)
		got := ""
		for !strings.HasSuffix(got, "hello") {
			n, err := c.Read(buf)
			if err != nil {
				return
			}
			got += string(buf[:n])
		}
		saw := ""
		for line := range strings.Lines(got) {
			if strings.HasPrefix(line, "x-sa") {
				saw += strings.TrimSpace(line) + ";"
			}
		}
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(saw), saw)
	})
	clusterOf := func(name, address, more string) string {
		host, port, _ := net.SplitHostPort(address)
		return fmt.Sprintf(`{"name": %q, "type": "STATIC", "connect_timeout": "20s", %s "load_assignment": {"cluster_name": %q, "endpoints": [{"lb_endpoints": [
			{"endpoint": {"address": {"socket_address": {"address": %q, "port_value": %s}}}}]}]}}`, name, more, name, host, port)
	}
	const http2 = `"typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
		"@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions", "explicit_http_config": {"http2_protocol_options": {}}}},`
	r := newRig(t, func(o *Options) {
		o.Bootstrap = inboundOf(t, `"route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "app"}}]}]}`,
			`{"name": "envoy.filters.http.ext_authz", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
				"status_on_error": {"code": 503}, "with_request_body": {"max_request_bytes": 16},
				"grpc_service": {"timeout": "20s", "envoy_grpc": {"cluster_name": "authz"}}}},`, "",
			`"clusters": [`+clusterOf("app", application, "")+", "+clusterOf("authz", l.Addr().String(), http2)+"],")
	})
	r.sendTo("127.0.0.1:80")
	<-r.Warm()
	for say, want := range map[string][]string{
		"yes": {"HTTP/1.1 200 ", "x-checked: 1", `x-saw: POST /a?b "hello";`},
		"no":  {"HTTP/1.1 401 ", "x-why: w", "who are you?"},
		"":    {"HTTP/1.1 503 "},
	} {
		got := ask(t, r.inbound, "POST /a?b HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Say: "+say+"\r\nContent-Length: 5\r\n\r\nhello")
		for _, part := range want {
			if !strings.Contains(got, part) {
				t.Errorf("%q: no %q in %q", say, part, got)
			}
		}
		if strings.Contains(got, "x-say") {
			t.Errorf("%q: x-say reached the application: %q", say, got)
		}
	}
}
