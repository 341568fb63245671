package extauthz

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/filter"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// service is an authorization service that gives one answer. nil: it fails.
type grpcService struct {
	*testing.T
	answer *authv3.CheckResponse
	asked  *authv3.CheckRequest
	call   *filter.Call
}

func (s *grpcService) Call(_ context.Context, c *filter.Call) (*filter.Answer, error) {
	s.call, s.asked = c, &authv3.CheckRequest{}
	if err := (proto.UnmarshalOptions{}).Unmarshal(c.Body[5:], s.asked); err != nil {
		s.Errorf("the question is no CheckRequest: %v", err)
	}
	if len(s.asked.ProtoReflect().GetUnknown()) > 0 {
		s.Error("the question has unknown fields")
	}
	a := &filter.Answer{Status: 200}
	a.Trailers.Add("grpc-status", "0")
	if s.answer == nil {
		a.Trailers.Set("grpc-status", "14")
		return a, nil
	}
	raw, err := proto.Marshal(s.answer)
	if err != nil {
		s.Fatal(err)
	}
	a.Body = append([]byte{0, 0, 0, byte(len(raw) >> 8), byte(len(raw))}, raw...)
	return a, nil
}

// runGRPC asks about x.
func runGRPC(t *testing.T, c *config.ExtAuthz, answer *authv3.CheckResponse, x *stream.Exchange) (*filter.Reply, *grpcService) {
	t.Helper()
	s := &grpcService{T: t, answer: answer}
	f, err := New(c, filter.Deps{Call: s.Call, Body: func(context.Context, *stream.Exchange, int) ([]byte, bool, error) {
		return []byte("content"), true, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	reply := f.Request(context.Background(), x, nil)
	f.(filter.Responder).Response(x)
	return reply, s
}

func option3(key, value string, add bool) *corev3.HeaderValueOption {
	o := &corev3.HeaderValueOption{Header: &corev3.HeaderValue{Key: key, Value: value}}
	if add {
		o.Append = wrapperspb.Bool(true) //nolint:staticcheck // deprecated, and what services send
	}
	return o
}

func acting(key, value string, a action) *corev3.HeaderValueOption {
	return &corev3.HeaderValueOption{
		Header: &corev3.HeaderValue{Key: key, Value: value}, AppendAction: corev3.HeaderValueOption_HeaderAppendAction(a),
	}
}

func TestQuestion(t *testing.T) {
	x := request()
	x.Start, x.Protocol = time.Unix(100, 7), stream.HTTP11
	x.Request.Scheme, x.Request.Length = "http", 7
	x.Request.Fields.Add("x-user", "v")
	x.Request.Fields.Add("x-envoy-downstream-service-cluster", "front")
	*x.Conn = stream.Conn{
		ID: 9, Remote: netip.MustParseAddrPort("10.0.0.1:1234"), Local: netip.MustParseAddrPort("10.0.0.2:80"),
		TLS: &stream.TLS{
			ServerName: "sni.test", PeerURISANs: []string{"spiffe://a/ns/b/sa/c"}, LocalURISANs: []string{"spiffe://a/ns/d/sa/e"},
			PeerCert: &x509.Certificate{Raw: []byte("raw")},
		},
	}
	c := &config.ExtAuthz{GRPCCluster: "authz", Authority: "authz.ns", AddHeaders: [][2]string{{"x-from", "mesh"}}, MaxRequestBytes: 9,
		ContextExtras: map[string]string{"b": "2", "a": "1"}, IncludePeer: true, TLSSession: true, Timeout: time.Second}
	_, s := runGRPC(t, c, &authv3.CheckResponse{}, x)
	if s.call.Path != "/envoy.service.auth.v3.Authorization/Check" || s.call.Cluster != "authz" || s.call.Host != "authz.ns" || !s.call.HTTP2 ||
		!strings.HasSuffix(fmt.Sprint(s.call.Fields), "{grpc-timeout 1000m} {x-from mesh}]") {
		t.Errorf("asked by %+v", s.call)
	}
	certificate, err := url.QueryUnescape(s.asked.Attributes.Source.Certificate)
	if err != nil || !strings.HasPrefix(certificate, "-----BEGIN CERTIFICATE-----\ncmF3\n") {
		t.Errorf("certificate %q, %v", certificate, err)
	}
	s.asked.Attributes.Source.Certificate = ""
	socket := func(address string, port uint32) *corev3.Address {
		return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{Address: address, PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: port}}}}
	}
	want := &authv3.AttributeContext{
		Source:      &authv3.AttributeContext_Peer{Address: socket("10.0.0.1", 1234), Service: "front", Principal: "spiffe://a/ns/b/sa/c"},
		Destination: &authv3.AttributeContext_Peer{Address: socket("10.0.0.2", 80), Principal: "spiffe://a/ns/d/sa/e"},
		Request: &authv3.AttributeContext_Request{Time: s.asked.Attributes.Request.Time, Http: &authv3.AttributeContext_HttpRequest{
			Id: "9", Method: "PUT", Path: "/cart?id=1", Host: "shop.com", Scheme: "http", Size: 7, Protocol: "HTTP/1.1", Body: "content",
			Headers: map[string]string{
				":method": "PUT", ":path": "/cart?id=1", ":authority": "shop.com", ":scheme": "http", "authorization": "Basic x", "x-user": "u,v",
				"content-length": "7", "x-secret": "s", "x-envoy-downstream-service-cluster": "front", "x-envoy-auth-partial-body": "false",
			},
		}},
		ContextExtensions: map[string]string{"a": "1", "b": "2"},
		TlsSession:        &authv3.AttributeContext_TLSSession{Sni: "sni.test"},
	}
	if !proto.Equal(s.asked.Attributes, want) || !s.asked.Attributes.Request.Time.AsTime().Equal(x.Start) {
		t.Errorf("asked %v\nwant  %v", s.asked.Attributes, want)
	}
	c.RequestHeaders, c.PackAsBytes = names("x-user", ":path"), true
	_, s = runGRPC(t, c, &authv3.CheckResponse{}, x)
	if h := s.asked.Attributes.Request.Http; len(h.Headers) != 3 || h.Headers["x-user"] != "u,v" || string(h.RawBody) != "content" || h.Body != "" {
		t.Errorf("asked %v", h)
	}
}

// TestHiddenHeaders: what is disallowed reaches neither kind of service, though it may be allowed too.
func TestHiddenHeaders(t *testing.T) {
	c := &config.ExtAuthz{GRPCCluster: "authz", RequestHeaders: names("x-user", "authorization"), HiddenHeaders: names("authorization", "x-secret")}
	x := request()
	x.Request.Fields.Add("x-user", "v")
	_, s := runGRPC(t, c, &authv3.CheckResponse{}, x)
	if h := s.asked.Attributes.Request.Http.Headers; len(h) != 1 || h["x-user"] != "u,v" {
		t.Errorf("asked with %v", h)
	}
	c.RequestHeaders = nil
	_, s = runGRPC(t, c, &authv3.CheckResponse{}, x)
	if h := s.asked.Attributes.Request.Http.Headers; h["authorization"] != "" || h["x-secret"] != "" || h[":path"] == "" {
		t.Errorf("asked with %v", h)
	}
	c.RequestHeaders = names("x-user", "authorization")
	f, err := New(c, filter.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range f.(*authz).call(x, nil, false).Fields {
		if field.Name == "authorization" {
			t.Error("the service over HTTP is told the authorization")
		}
	}
}

// TestMetadataContext: the service is told the metadata of the namespaces asked for, and of no others.
func TestMetadataContext(t *testing.T) {
	x := request()
	x.Metadata = map[string]map[string]any{"jwt": {"sub": "me", "n": 1.0}, "other": {"a": true}}
	x.Conn.Metadata = map[string]map[string]any{"jwt": {"sub": "not me"}, "tcp": {"list": []any{"a", nil}}}
	x.Route = &config.Route{Metadata: map[string]map[string]any{"istio": {"config": "c"}, "x": {}}}
	c := &config.ExtAuthz{GRPCCluster: "authz", Metadata: []string{"jwt", "tcp", "none"}, RouteMetadata: []string{"istio"}}
	_, s := runGRPC(t, c, &authv3.CheckResponse{}, x)
	jwt, _ := structpb.NewStruct(x.Metadata["jwt"])
	tcp, _ := structpb.NewStruct(x.Conn.Metadata["tcp"])
	istio, _ := structpb.NewStruct(x.Route.Metadata["istio"])
	if got, want := s.asked.Attributes.MetadataContext, (&corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{"jwt": jwt, "tcp": tcp}}); !proto.Equal(got, want) {
		t.Errorf("told %v, want %v", got, want)
	}
	if got, want := s.asked.Attributes.RouteMetadataContext, (&corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{"istio": istio}}); !proto.Equal(got, want) {
		t.Errorf("told %v of the route, want %v", got, want)
	}
}

func TestGRPCAllowed(t *testing.T) {
	metadata, _ := structpb.NewStruct(map[string]any{"k": "v"})
	x := request()
	reply, _ := runGRPC(t, &config.ExtAuthz{GRPCCluster: "authz"}, &authv3.CheckResponse{
		DynamicMetadata: metadata,
		HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{
			Headers: []*corev3.HeaderValueOption{
				option3("X-Id", "7", false), option3("x-user", "more", true), option3(":method", "GET", false), option3(":path", "/other?a=1&B=2", false), option3("content-length", "9", false),
			},
			HeadersToRemove:         []string{"X-Secret", "content-length"},
			ResponseHeadersToAdd:    []*corev3.HeaderValueOption{option3("set-cookie", "a", true), option3("set-cookie", "b", true), option3("x-one", "0", true), acting("x-one", "1", setField), acting("x-one", "2", addIfAbsent), acting("x-two", "3", setIfThere), acting("x-two", "4", addField)},
			QueryParametersToSet:    []*corev3.QueryParameter{{Key: "c", Value: "x y"}, {Key: "a", Value: "3"}},
			QueryParametersToRemove: []string{"B", "none"},
		}},
	}, x)
	if reply != nil {
		t.Fatalf("%+v", reply)
	}
	if got := fmt.Sprint(fields(&x.Request.Fields)); got != "[{authorization Basic x} {x-user u} {content-length 7} {x-id 7} {x-user more}]" {
		t.Errorf("request %s", got)
	}
	if x.Request.Method != http.MethodPut || x.Request.Path != "/other?c=x+y&a=3" {
		t.Errorf("%s %s", x.Request.Method, x.Request.Path)
	}
	if got := fmt.Sprint(fields(&x.Response.Fields)); got != "[{set-cookie a} {set-cookie b} {x-one 1} {x-two 4}]" {
		t.Errorf("response %s", got)
	}
	if x.Metadata["envoy.filters.http.ext_authz"]["k"] != "v" {
		t.Errorf("metadata %v", x.Metadata)
	}
}

func TestGRPCDenied(t *testing.T) {
	denied := &authv3.CheckResponse{
		Status: &rpcstatus.Status{Code: 7},
		HttpResponse: &authv3.CheckResponse_DeniedResponse{DeniedResponse: &authv3.DeniedHttpResponse{
			Status: &typev3.HttpStatus{Code: 302}, Body: "no",
			Headers: []*corev3.HeaderValueOption{option3("Location", "/login", false), option3("set-cookie", "a", true), option3("set-cookie", "b", true), option3("content-length", "0", false)},
		}},
	}
	x := request()
	reply, _ := runGRPC(t, &config.ExtAuthz{GRPCCluster: "authz"}, denied, x)
	if reply == nil || reply.Status != 302 || reply.Body != "no" || reply.Details != "ext_authz_denied" || reply.Flags != stream.UnauthorizedExternalService ||
		fmt.Sprint(reply.Fields) != "[{location /login} {set-cookie a} {set-cookie b}]" {
		t.Errorf("%+v", reply)
	}
	reply, _ = runGRPC(t, &config.ExtAuthz{GRPCCluster: "authz"}, &authv3.CheckResponse{Status: &rpcstatus.Status{Code: 16}}, x)
	if reply == nil || reply.Status != 403 || len(reply.Fields) != 0 {
		t.Errorf("%+v", reply)
	}
}

// TestGRPCUnanswered: without an answer that can be read nobody passes, unless failure_mode_allow says so.
func TestGRPCUnanswered(t *testing.T) {
	split := &authv3.CheckResponse{HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{
		Headers: []*corev3.HeaderValueOption{option3("x-a", "b\r\nx-evil: 1", false)},
	}}}
	for name, answer := range map[string]*authv3.CheckResponse{
		"status 14": nil, "a header with a line break": split,
		"error_response": {HttpResponse: &authv3.CheckResponse_ErrorResponse{ErrorResponse: &authv3.DeniedHttpResponse{}}},
	} {
		c := &config.ExtAuthz{GRPCCluster: "authz", StatusOnError: 502}
		if reply, _ := runGRPC(t, c, answer, request()); reply == nil || reply.Status != 502 || reply.Details != "ext_authz_error" {
			t.Errorf("%s: %+v", name, reply)
		}
		c.FailureAllow = true
		if reply, _ := runGRPC(t, c, answer, request()); reply != nil {
			t.Errorf("%s, failure_mode_allow: %+v", name, reply)
		}
	}
}

func TestOverrides(t *testing.T) {
	s := &grpcService{T: t, answer: &authv3.CheckResponse{}}
	f, _ := New(&config.ExtAuthz{GRPCCluster: "g", ContextExtras: map[string]string{"a": "1", "b": "1"}, MaxRequestBytes: 10}, filter.Deps{Call: s.Call})
	o, err := f.(filter.Overrider).Override(&config.ExtAuthz{ContextExtras: map[string]string{"b": "2"}, DisableBody: true})
	if err != nil {
		t.Fatal(err)
	}
	if reply := o.Request(context.Background(), request(), nil); reply != nil {
		t.Errorf("%+v", reply)
	}
	if a := s.asked.Attributes; fmt.Sprint(a.ContextExtensions) != "map[a:1 b:2]" || a.Request.Http.Body != "" {
		t.Errorf("asked %v", a)
	}
	if _, err := f.(filter.Overrider).Override(1); err == nil {
		t.Error("an override of no known type is taken")
	}
}

func FuzzVerdict(f *testing.F) {
	raw, _ := proto.Marshal(&authv3.CheckResponse{HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{
		Headers: []*corev3.HeaderValueOption{option3("a", "b", true)}, HeadersToRemove: []string{"c"},
	}}})
	f.Add(raw)
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := readVerdict(b)
		if err != nil {
			return
		}
		var real authv3.CheckResponse
		if proto.Unmarshal(b, &real) == nil && v.allowed != (real.GetStatus().GetCode() == 0) {
			t.Errorf("%x: allowed %v, but %v", b, v.allowed, &real)
		}
		a := &authz{config: &config.ExtAuthz{}, deps: filter.Deps{}.WithDefaults(), ok: func() {}, denied: func() {}}
		a.apply(request(), v)
	})
}
