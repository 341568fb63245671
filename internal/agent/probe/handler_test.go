package probe

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"

	"github.com/pillion-mesh/pillion/internal/agent/appdial"
)

func portOf(t *testing.T, rawURL string) uint16 {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.ParseUint(u.Port(), 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	return uint16(n)
}

// handler has one probe, a liveness probe and a hook alike.
func handler(t *testing.T, value string, change func(*Options)) *Handler {
	t.Helper()
	set, err := Parse(fmt.Sprintf(`{%q:%s,%q:%s}`, livePath, value, stopPath, value))
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Log: logr.Discard(), Dial: &appdial.Dialer{Pod: netip.MustParseAddr("127.0.0.1"), LocalAddrs: net.InterfaceAddrs}}
	if change != nil {
		change(&o)
	}
	return NewHandler(set, o)
}

func ask(h http.Handler, path string, header http.Header) *httptest.ResponseRecorder {
	w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, path, nil)
	if header != nil {
		r.Header = header
	}
	h.ServeHTTP(w, r)
	return w
}

// TestHosts: who is called for a host in a probe.
func TestHosts(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	port := portOf(t, server.URL)
	for host, want := range map[string]int{"": 200, "localhost": 200, "127.9.9.9": 200, "::1": 200, "0.0.0.0": 200, "127.0.0.1": 200} {
		for kind, code := range map[string]int{`"httpGet"`: want, `"tcpSocket"`: want} {
			w := ask(handler(t, fmt.Sprintf(`{%s:{"port":%d,"host":%q}}`, kind, port, host), nil), livePath, nil)
			if w.Code != code {
				t.Errorf("%s to host %q: %d %s, want %d", kind, host, w.Code, w.Body, code)
			}
		}
	}
}

// TestOwnPorts: no probe reaches the sidecar, of whatever kind and by whatever address.
func TestOwnPorts(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the sidecar's port was called") }))
	defer server.Close()
	port := portOf(t, server.URL)
	for _, probe := range []string{
		`{"httpGet":{"port":%d}}`, `{"httpGet":{"port":%d,"host":"127.3.3.3"}}`, `{"tcpSocket":{"port":%d,"host":"::ffff:127.0.0.1"}}`,
		`{"tcpSocket":{"port":%d}}`, `{"grpc":{"port":%d}}`,
	} {
		w := ask(handler(t, fmt.Sprintf(probe, port), func(o *Options) { o.Dial.OwnPorts = []uint16{port} }), livePath, nil)
		if w.Code != 500 || !strings.Contains(w.Body.String(), "port of the sidecar itself") {
			t.Errorf("%s: %d %s", probe, w.Code, w.Body)
		}
	}
}

// TestTimeout: a probe ends with its own time, and a hook lives on with that time although the server gives all
// others less.
func TestTimeout(t *testing.T) {
	asked := make(chan struct{}, 4)
	release := make(chan struct{})
	app := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		select {
		case <-r.Context().Done():
		case <-release:
		}
	}))
	defer app.Close()
	probe := fmt.Sprintf(`{"httpGet":{"port":%d}}`, portOf(t, app.URL))
	if w := ask(handler(t, probe, nil), livePath, nil); w.Code != 500 || !strings.Contains(w.Body.String(), "deadline") {
		t.Errorf("status %d %s, want 500 after the deadline", w.Code, w.Body)
	}
	const others = 50 * time.Millisecond
	server := httptest.NewUnstartedServer(handler(t, probe, nil))
	server.Config.ReadTimeout, server.Config.WriteTimeout = others, others
	server.Start()
	defer server.Close()
	time.AfterFunc(4*others, func() { close(release) })
	resp, err := http.Get(server.URL + stopPath)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body)
		t.Errorf("a hook longer than other requests may be: %s %s", resp.Status, text)
	}
}

// TestCallerHangsUp: when the kubelet gives up, the application is told.
func TestCallerHangsUp(t *testing.T) {
	asked, told := make(chan struct{}), make(chan struct{})
	app := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
		close(told)
	}))
	defer app.Close()
	hook := handler(t, fmt.Sprintf(`{"httpGet":{"port":%d}}`, portOf(t, app.URL)), nil)
	server := httptest.NewServer(hook)
	defer server.Close()
	conn, err := net.Dial("tcp4", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", stopPath)
	<-asked
	if n := hook.Hooks(); n != 1 {
		t.Errorf("%d hooks run, want 1", n)
	}
	conn.Close()
	select {
	case <-told:
	case <-time.After(20 * time.Second):
		t.Error("the application works for a caller who is gone")
	}
}

func TestUnknown(t *testing.T) {
	h := handler(t, `{"tcpSocket":{"port":1}}`, nil)
	for _, path := range []string{"/app-health/app/readyz", "/app-health/app/livez/", "/app-health/", "/app-health/other/livez"} {
		w := ask(h, path, nil)
		if want := "app prober config does not exists for " + path; w.Code != 400 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %s, want 400 %s", path, w.Code, w.Body, want)
		}
	}
	set, _ := Parse(`{"/app-health/app/livez":{"httpGet":{"port":"http"}}}`)
	w := ask(NewHandler(set, Options{Dial: &appdial.Dialer{}}), livePath, nil)
	if w.Code != 400 || !strings.Contains(w.Body.String(), `port is "http"`) {
		t.Errorf("a broken probe: %d %s", w.Code, w.Body)
	}
}
