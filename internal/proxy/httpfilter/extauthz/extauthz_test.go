package extauthz

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/filter"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

func request() *stream.Exchange {
	x := &stream.Exchange{Conn: &stream.Conn{}}
	x.Request.Method, x.Request.Authority, x.Request.Path, x.Request.HasBody = "PUT", "shop.com", "/cart?id=1", true
	for _, f := range [][2]string{{"authorization", "Basic x"}, {"x-user", "u"}, {"content-length", "7"}, {"x-secret", "s"}} {
		x.Request.Fields.Add(f[0], f[1])
	}
	return x
}

func names(list ...string) (matches []config.StringMatch) {
	for _, n := range list {
		matches = append(matches, config.StringMatch{Value: n})
	}
	return matches
}

func service() *config.ExtAuthz {
	return &config.ExtAuthz{
		HTTPCluster: "authz", PathPrefix: "/check", RequestHeaders: names("x-user", "content-length"),
		AddHeaders: [][2]string{{"x-from", "mesh"}}, UpstreamHeaders: names("x-id", "transfer-encoding"), AppendUpstream: names("x-user"),
		SuccessHeaders: names("set-cookie"), ClientHeaders: names("x-why"),
	}
}

func answer(status int, body string, fields ...string) *filter.Answer {
	a := &filter.Answer{Status: status, Body: []byte(body)}
	for i := 0; i+1 < len(fields); i += 2 {
		a.Fields.Add(fields[i], fields[i+1])
	}
	return a
}

func run(t *testing.T, c *config.ExtAuthz, a *filter.Answer, x *stream.Exchange) (*filter.Reply, *filter.Call) {
	t.Helper()
	var asked *filter.Call
	f, err := New(c, filter.Deps{
		Call: func(ctx context.Context, c *filter.Call) (*filter.Answer, error) {
			if _, ok := ctx.Deadline(); !ok {
				t.Error("no deadline")
			}
			if asked = c; a == nil {
				return nil, errors.New("gone")
			}
			return a, nil
		},
		Body: func(_ context.Context, _ *stream.Exchange, most int) ([]byte, bool, error) {
			return []byte("content")[:min(most, 7)], most >= 7, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	reply := f.Request(context.Background(), x, nil)
	f.(filter.Responder).Response(x)
	return reply, asked
}

func fields(f *stream.Fields) (list []stream.Field) {
	for i := range f.Len() {
		list = append(list, f.At(i))
	}
	return list
}

func TestAllowed(t *testing.T) {
	x := request()
	reply, asked := run(t, service(), answer(200, "", "x-id", "7", "x-user", "more", "set-cookie", "a=b", "x-else", "?",
		"transfer-encoding", "chunked", "x-envoy-auth-headers-to-remove", "X-Secret, content-length"), x)
	if reply != nil {
		t.Fatalf("%+v", reply)
	}
	if asked.Path != "/check/cart?id=1" || asked.Method != http.MethodPut || asked.Host != "shop.com" || asked.Cluster != "authz" ||
		fmt.Sprint(asked.Fields) != "[{authorization Basic x} {x-user u} {x-from mesh}]" {
		t.Errorf("asked %+v", asked)
	}
	if got := fmt.Sprint(fields(&x.Request.Fields)); got != "[{authorization Basic x} {x-user u} {content-length 7} {x-id 7} {x-user more}]" {
		t.Errorf("request %s", got)
	}
	if got := fmt.Sprint(fields(&x.Response.Fields)); got != "[{set-cookie a=b}]" {
		t.Errorf("response %s", got)
	}
}

func TestDenied(t *testing.T) {
	reply, _ := run(t, service(), answer(401, "no", "x-why", "w", "x-else", "?", "www-authenticate", "Basic", "content-length", "2"), request())
	if reply == nil || reply.Status != 401 || reply.Body != "no" || reply.Details != "ext_authz_denied" ||
		reply.Flags != stream.UnauthorizedExternalService || fmt.Sprint(reply.Fields) != "[{x-why w} {www-authenticate Basic}]" {
		t.Errorf("%+v", reply)
	}
}

func TestUnanswered(t *testing.T) {
	for _, a := range []*filter.Answer{nil, answer(503, "")} {
		reply, _ := run(t, service(), a, request())
		if reply == nil || reply.Status != 403 || reply.Details != "ext_authz_error" || reply.Flags.String() != "UAEX" {
			t.Errorf("%+v", reply)
		}
		c := service()
		c.StatusOnError = 502
		if reply, _ := run(t, c, a, request()); reply == nil || reply.Status != 502 {
			t.Errorf("%+v", reply)
		}
		c.FailureAllow, c.FailureHeader = true, true
		x := request()
		if reply, _ := run(t, c, a, x); reply != nil || x.Request.Fields.Value("x-envoy-auth-failure-mode-allowed") != "true" {
			t.Errorf("%+v", reply)
		}
	}
}

func TestBody(t *testing.T) {
	c := service()
	c.MaxRequestBytes = 7
	if reply, asked := run(t, c, answer(200, ""), request()); reply != nil || string(asked.Body) != "content" ||
		asked.Fields[len(asked.Fields)-1] != (stream.Field{Name: "x-envoy-auth-partial-body", Value: "false"}) {
		t.Errorf("%+v %+v", reply, asked)
	}
	c.MaxRequestBytes = 3
	if reply, asked := run(t, c, answer(200, ""), request()); reply == nil || reply.Status != 413 || asked != nil {
		t.Errorf("%+v", reply)
	}
	c.AllowPartial = true
	if _, asked := run(t, c, answer(200, ""), request()); asked == nil || string(asked.Body) != "con" {
		t.Errorf("%+v", asked)
	}
}

func TestDisabled(t *testing.T) {
	c := service()
	c.Enabled = &config.Fraction{}
	if reply, asked := run(t, c, nil, request()); reply != nil || asked != nil {
		t.Errorf("%+v", reply)
	}
	c.DenyDisabled = true
	if reply, _ := run(t, c, nil, request()); reply == nil || reply.Status != 403 {
		t.Errorf("%+v", reply)
	}
}
