package proxy

import (
	"encoding/base64"
	"fmt"
	"net"
	"strings"
	"testing"
)

// named is an application that answers each connection's request with its name.
func named(t *testing.T, name string) string {
	t.Helper()
	return backend(t, func(c *net.TCPConn) {
		buf := make([]byte, 4096)
		for got := ""; !strings.HasSuffix(got, "\r\n\r\n"); {
			n, err := c.Read(buf)
			if err != nil {
				return
			}
			got += string(buf[:n])
		}
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(name), name)
	})
}

// endpointOf is an lb_endpoint in JSON.
func endpointOf(address string) string {
	host, port, _ := net.SplitHostPort(address)
	return fmt.Sprintf(`{"endpoint": {"address": {"socket_address": {"address": %q, "port_value": %s}}}}`, host, port)
}

// TestStatefulSession: who was given a host comes back to it, with the cookie or the header it was told; an address that
// isn't one of the cluster's is never called, and strictly 503.
func TestStatefulSession(t *testing.T) {
	stranger := backend(t, func(*net.TCPConn) { t.Error("an address that only the client named was called") })
	apps := `{"name": "app", "type": "STATIC", "connect_timeout": "20s", "load_assignment": {"cluster_name": "app", "endpoints": [{"lb_endpoints": [` +
		endpointOf(named(t, "first")) + "," + endpointOf(named(t, "second")) + "," + endpointOf(named(t, "third")) + `]}]}}`
	session := func(strict bool, state string) string {
		return fmt.Sprintf(`{"@type": "type.googleapis.com/envoy.extensions.filters.http.stateful_session.v3.StatefulSession", "strict": %t, "stat_prefix": "sticky",
			"session_state": {"name": "s", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.http.stateful_session.%s}}}`, strict, state)
	}
	const header = `header.v3.HeaderBasedSessionState", "name": "x-host"`
	r := newRig(t, func(o *Options) {
		o.Bootstrap = inboundOf(t, `"route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
				{"match": {"prefix": "/strict"}, "route": {"cluster": "app"}, "typed_per_filter_config": {"sticky": {
					"@type": "type.googleapis.com/envoy.extensions.filters.http.stateful_session.v3.StatefulSessionPerRoute", "stateful_session": `+
			strings.Replace(session(true, header), `"@type": "type.googleapis.com/envoy.extensions.filters.http.stateful_session.v3.StatefulSession", `, "", 1)+`}}},
				{"match": {"prefix": "/off"}, "route": {"cluster": "app"}, "typed_per_filter_config": {"sticky": {
					"@type": "type.googleapis.com/envoy.extensions.filters.http.stateful_session.v3.StatefulSessionPerRoute", "disabled": true}}},
				{"match": {"prefix": "/"}, "route": {"cluster": "app"}}]}]}`,
			`{"name": "sticky", "typed_config": `+session(false, `cookie.v3.CookieBasedSessionState", "cookie": {"name": "host", "path": "/", "ttl": "60s"}`)+`},`, "", `"clusters": [`+apps+`],`)
	})
	r.sendTo("127.0.0.1:80")
	<-r.Warm()
	get := func(path, field string) string {
		return ask(t, r.inbound, "GET "+path+" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"+field+"\r\n")
	}
	after := func(answer, mark, end string) string {
		_, rest, ok := strings.Cut(answer, mark)
		if !ok {
			t.Fatalf("no %q in %q", mark, answer)
		}
		value, _, _ := strings.Cut(rest, end)
		return value
	}
	for path, from := range map[string][3]string{"/": {`set-cookie: host="`, `"`, "Cookie: host="}, "/strict": {"x-host: ", "\r\n", "X-Host: "}} {
		first := get(path, "")
		name := after(first, "\r\n\r\n", "\r\n")
		asked := from[2] + after(first, from[0], from[1]) + "\r\n"
		for range 10 {
			again := get(path, asked)
			if got := after(again, "\r\n\r\n", "\r\n"); got != name || strings.Contains(again, from[0]) {
				t.Errorf("%s: %q after %q", path, again, name)
			}
		}
	}
	other := "X-Host: " + base64Of(stranger) + "\r\nCookie: host=" + base64Of(stranger) + "\r\n"
	if got := get("/", other); !strings.Contains(got, "HTTP/1.1 200") || !strings.Contains(got, "set-cookie: host=") {
		t.Errorf("a strange host: %q", got)
	}
	if got := get("/strict", other); !strings.Contains(got, "HTTP/1.1 503") || !strings.HasSuffix(got, "no healthy upstream") {
		t.Errorf("a strange host, strictly: %q", got)
	}
	if got := get("/off", ""); !strings.Contains(got, "HTTP/1.1 200") || strings.Contains(got, "set-cookie") {
		t.Errorf("disabled: %q", got)
	}
}

func base64Of(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
