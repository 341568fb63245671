package probe

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
)

const (
	livePath = "/app-health/app/livez"
	stopPath = "/app-lifecycle/app/prestopz"
)

// TestStatusIsTheApplications: also where it means failure.
func TestStatusIsTheApplications(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status, _ := strconv.Atoi(r.URL.Query().Get("s"))
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "<b>"+r.URL.Path)
	}))
	defer server.Close()
	for _, status := range []int{200, 204, 299, 304, 404, 500, 503, 999} {
		h := handler(t, fmt.Sprintf(`{"httpGet":{"path":"/a%%20b?s=%d","port":%d}}`, status, portOf(t, server.URL)), nil)
		w := ask(h, livePath, nil)
		if w.Code != status || w.Header().Get("Content-Type") != "text/plain; charset=utf-8" {
			t.Errorf("status %d, %s; want %d as text", w.Code, w.Header().Get("Content-Type"), status)
		}
		if status == 200 && w.Body.String() != "<b>/a b" {
			t.Errorf("body %q", w.Body)
		}
	}
}

// TestSecretsStayIn: an error doesn't say what was asked for.
func TestSecretsStayIn(t *testing.T) {
	w := ask(handler(t, `{"httpGet":{"path":"/x?token=secret","port":1}}`, nil), livePath, nil) // where nobody listens
	if w.Code != 500 || !strings.Contains(w.Body.String(), "connection refused") || strings.Contains(w.Body.String(), "secret") {
		t.Errorf("%d %q", w.Code, w.Body)
	}
}

// TestURL: what is called is the pod, however the path tries.
func TestURL(t *testing.T) {
	for path, want := range map[string]string{
		"":                       "http://10.0.0.1:80",
		"/":                      "http://10.0.0.1:80/",
		"healthz":                "http://10.0.0.1:80/healthz",
		"/a%2Fb?x=y&z":           "http://10.0.0.1:80/a%2Fb?x=y&z",
		"//evil.example/x":       "http://10.0.0.1:80/x",
		"http://u:p@evil.ex:1/x": "http://10.0.0.1:80/x",
		"/%zz":                   "http://10.0.0.1:80/%25zz",
		"/x#y":                   "http://10.0.0.1:80/x",
	} {
		get := &httpGet{Path: path, Port: 80}
		if got, err := get.url("10.0.0.1"); err != nil || got != want {
			t.Errorf("%q: %s, %v; want %s", path, got, err, want)
		}
	}
	if got, err := (&httpGet{Path: "mailto:x", Port: 80}).url("10.0.0.1"); err == nil {
		t.Errorf("mailto:x gives %s", got)
	}
}

func checkURL(t *testing.T, get *httpGet) {
	t.Helper()
	text, err := get.url("10.0.0.1")
	if err != nil {
		return
	}
	if u, err := url.Parse(text); err != nil || u.Host != "10.0.0.1:"+get.Port.String() || u.User != nil {
		t.Errorf("path %q gives %q, %v", get.Path, text, err)
	}
}

func TestHeaders(t *testing.T) {
	var seen *http.Request
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = r }))
	defer server.Close()
	port := portOf(t, server.URL)
	kubelet := http.Header{
		"User-Agent": {"kube-probe/1.36"}, "Accept": {"*/*"}, "X-Probe": {"from kubelet"}, "Connection": {"close, X-Hop"}, "X-Hop": {"1"},
		"Upgrade": {"h2c"}, "X-Forwarded-Client-Cert": {"By=spiffe://admin"}, "Forwarded": {"for=x"},
	}
	ask(handler(t, fmt.Sprintf(`{"httpGet":{"port":%d}}`, port), nil), livePath, kubelet)
	if want := fmt.Sprintf("127.0.0.1:%d", port); seen.Host != want {
		t.Errorf("Host %q, want %q", seen.Host, want)
	}
	for name, want := range map[string]string{
		"User-Agent": "kube-probe/1.36", "Accept": "*/*", "X-Probe": "from kubelet", "Connection": "close",
		"X-Hop": "", "Upgrade": "", "X-Forwarded-Client-Cert": "", "Forwarded": "", "Accept-Encoding": "",
	} {
		if got := seen.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	own := `[{"name":"host","value":"shop.example"},{"name":"x-probe","value":"1"},{"name":"X-Probe","value":"2"},{"name":"X-Forwarded-Proto","value":"https"}]`
	ask(handler(t, fmt.Sprintf(`{"httpGet":{"port":%d,"httpHeaders":%s}}`, port, own), nil), livePath, kubelet)
	if got := strings.Join(seen.Header.Values("X-Probe"), ","); seen.Host != "shop.example" || got != "1,2" || seen.Header.Get("X-Forwarded-Proto") != "https" {
		t.Errorf("Host %q, headers %v", seen.Host, seen.Header)
	}
}

// TestTLS: a certificate nobody verifies, and HTTP/2 where the server has it.
func TestTLS(t *testing.T) {
	for _, http1 := range []bool{false, true} {
		var protocol string
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { protocol = r.Proto }))
		server.EnableHTTP2 = true
		server.StartTLS()
		h := handler(t, fmt.Sprintf(`{"httpGet":{"port":%d,"scheme":"HTTPS"}}`, portOf(t, server.URL)), func(o *Options) { o.HTTP1 = http1 })
		w := ask(h, livePath, http.Header{"Connection": {"close"}})
		if want := map[bool]string{false: "HTTP/2.0", true: "HTTP/1.1"}[http1]; w.Code != 200 || protocol != want {
			t.Errorf("status %d %s by %s, want 200 by %s", w.Code, w.Body, protocol, want)
		}
		server.Close()
	}
}

// TestConnectionsAreNotKept, but where the user wants it.
func TestConnectionsAreNotKept(t *testing.T) {
	for keep, want := range map[bool]int{false: 2, true: 1} {
		from := map[string]bool{}
		server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { from[r.RemoteAddr] = true }))
		h := handler(t, fmt.Sprintf(`{"httpGet":{"port":%d}}`, portOf(t, server.URL)), func(o *Options) { o.KeepAlive = keep })
		ask(h, livePath, nil)
		ask(h, livePath, nil)
		if len(from) != want {
			t.Errorf("keep-alive %v: two probes made %d connections, want %d", keep, len(from), want)
		}
		for addr := range from {
			if !strings.HasPrefix(addr, "127.0.0.6:") {
				t.Errorf("the application sees %s, want 127.0.0.6", addr)
			}
		}
		h.http.CloseIdleConnections()
		server.Close()
	}
}

func TestRedirects(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the sidecar's port was called") }))
	defer other.Close()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/ok":
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		case "/here":
			http.Redirect(w, r, "/ok", http.StatusFound)
		case "/elsewhere":
			http.Redirect(w, r, "http://other.example/ok", http.StatusFound)
		case "/sidecar":
			http.Redirect(w, r, other.URL+"/quitquitquit", http.StatusFound)
		case "/sidecar-by-name":
			http.Redirect(w, r, strings.Replace(other.URL, "127.0.0.1", "127.0.0.2", 1), http.StatusFound)
		default:
			hops, _ := strconv.Atoi(r.URL.Path[1:])
			next := "/ok"
			if hops > 1 {
				next = "/" + strconv.Itoa(hops-1)
			}
			http.Redirect(w, r, next, http.StatusTemporaryRedirect)
		}
	}))
	defer server.Close()
	for path, want := range map[string]int{
		"/ok": 200, "/here": 200, "/9": 200, "/10": 500, "/loop": 500, "/elsewhere": 302, "/sidecar": 500, "/sidecar-by-name": 302,
	} {
		h := handler(t, fmt.Sprintf(`{"httpGet":{"path":%q,"port":%d}}`, path, portOf(t, server.URL)), func(o *Options) { o.Dial.OwnPorts = []uint16{portOf(t, other.URL)} })
		w := ask(h, livePath, nil)
		if w.Code != want || w.Header().Get("Location") != "" {
			t.Errorf("%s: %d %s, Location %q; want %d", path, w.Code, w.Body, w.Header().Get("Location"), want)
		}
	}
}

// TestBadAnswers: the application may say what it wants.
func TestBadAnswers(t *testing.T) {
	big := bytes.Repeat([]byte("x"), 1<<20)
	for name, c := range map[string]struct {
		answer string
		code   int
		body   int
	}{
		"huge body":       {fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(big), big), 200, 10 << 10},
		"huge header":     {"HTTP/1.1 200 OK\r\nX: " + string(big) + "\r\n\r\n", 500, -1},
		"strange status":  {"HTTP/1.1 099 What\r\n\r\n", 500, -1},
		"switching":       {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", 500, -1},
		"no HTTP":         {"SSH-2.0-x\r\n", 500, -1},
		"half an answer":  {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", 500, -1},
		"nothing at all":  {"", 500, -1},
		"body until end":  {"HTTP/1.1 503 No\r\n\r\nwhy", 503, 3},
		"foreign headers": {"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nLocation: /\r\nContent-Length: 0\r\n\r\n", 200, 0},
	} {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			_, _ = conn.Read(make([]byte, 4096))
			_, _ = io.WriteString(conn, c.answer)
		}()
		w := ask(handler(t, fmt.Sprintf(`{"httpGet":{"port":%d}}`, l.Addr().(*net.TCPAddr).Port), nil), livePath, nil)
		if w.Code != c.code || c.body >= 0 && w.Body.Len() != c.body || len(w.Header()) != 2 {
			t.Errorf("%s: status %d, %d bytes %.100q, headers %v; want %d, %d", name, w.Code, w.Body.Len(), w.Body, w.Header(), c.code, c.body)
		}
		l.Close()
	}
}
