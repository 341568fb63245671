package cors

import (
	"context"
	"testing"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/filter"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

func request(method, origin string, p *config.CORS, fields ...string) *stream.Exchange {
	x := &stream.Exchange{Conn: &stream.Conn{}, Route: &config.Route{Forward: &config.Forward{CORS: p}}}
	x.Request.Method = method
	if origin != "" {
		x.Request.Fields.Add("origin", origin)
	}
	for i := 0; i+1 < len(fields); i += 2 {
		x.Request.Fields.Add(fields[i], fields[i+1])
	}
	return x
}

func text(f []stream.Field) (s string) {
	for _, each := range f {
		s += each.Name[len("access-control-"):] + "=" + each.Value + " "
	}
	return s
}

func TestCORS(t *testing.T) {
	yes, no := true, false
	full := &config.CORS{
		Origins: []config.StringMatch{{Value: "https://a.com"}, {Kind: config.StringSuffix, Value: ".b.com"}},
		Methods: "GET, PUT", Headers: "x-a", Expose: "x-b", MaxAge: "60", Credentials: &yes, PrivateNetwork: &yes,
	}
	strict := &config.CORS{Origins: full.Origins, ForwardUnmatched: &no}
	off := &config.CORS{Origins: full.Origins, Enabled: &config.Fraction{}}
	any := &config.CORS{Origins: []config.StringMatch{{Value: "*"}}}
	ask := []string{"access-control-request-method", "PUT"}
	private := append([]string{"access-control-request-private-network", "true"}, ask...)
	const long = "allow-origin=https://a.com allow-credentials=true allow-methods=GET, PUT allow-headers=x-a max-age=60 "
	for i, c := range []struct {
		x         *stream.Exchange
		preflight string // "-": not answered here
		response  string
	}{
		{request("OPTIONS", "https://a.com", full, ask...), long, ""},
		{request("OPTIONS", "https://a.com", full, private...), long + "allow-private-network=true ", ""},
		{request("OPTIONS", "https://x.b.com", any, ask...), "allow-origin=https://x.b.com ", ""},
		{request("OPTIONS", "https://evil.com", full, ask...), "-", ""},
		{request("OPTIONS", "https://evil.com", strict, ask...), "", ""},
		{request("OPTIONS", "https://a.com", full), "-", "allow-origin=https://a.com allow-credentials=true expose-headers=x-b "},
		{request("GET", "https://c.b.com", full, ask...), "-", "allow-origin=https://c.b.com allow-credentials=true expose-headers=x-b "},
		{request("GET", "https://evil.com", full), "-", ""},
		{request("GET", "", full), "-", ""},
		{request("OPTIONS", "https://a.com", off, ask...), "-", ""},
		{request("OPTIONS", "https://a.com", nil, ask...), "-", ""},
	} {
		f, _ := New(&config.CORS{}, filter.Deps{})
		reply := f.Request(context.Background(), c.x, nil)
		if (reply == nil) != (c.preflight == "-") {
			t.Errorf("%d: %+v", i, reply)
			continue
		}
		if reply != nil {
			if reply.Status != 200 || reply.Details != "cors_response" || text(reply.Fields) != c.preflight {
				t.Errorf("%d: %+v", i, reply)
			}
			c.x.Details = reply.Details
		}
		f.(filter.Responder).Response(c.x)
		var got []stream.Field
		for n := range c.x.Response.Fields.Len() {
			got = append(got, c.x.Response.Fields.At(n))
		}
		if text(got) != c.response {
			t.Errorf("%d: response %s", i, text(got))
		}
	}
}

func TestPolicies(t *testing.T) {
	base, _ := New(&config.CORS{}, filter.Deps{})
	own, err := base.(filter.Overrider).Override(&config.CORS{Origins: []config.StringMatch{{Value: "o"}}})
	if err != nil {
		t.Fatal(err)
	}
	route, host := &config.CORS{Methods: "r"}, &config.CORS{Methods: "h"}
	x := request("GET", "o", route)
	x.VirtualHost = &config.VirtualHost{CORS: host}
	if p := own.(*cors).policy(x); len(p.Origins) != 1 {
		t.Errorf("with an override %+v", p)
	}
	if p := base.(*cors).policy(x); p != route {
		t.Errorf("of the route %+v", p)
	}
	x.Route.Forward.CORS = nil
	if p := base.(*cors).policy(x); p != host {
		t.Errorf("of the virtual host %+v", p)
	}
	if _, err := base.(filter.Overrider).Override(1); err == nil {
		t.Error("an override of no known type is taken")
	}
}
