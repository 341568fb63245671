package scrape

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/pillion-mesh/pillion/internal/agent/appdial"
	"github.com/pillion-mesh/pillion/internal/ops/exposition"
)

const ownPage = "# TYPE own gauge\nown 1\n"

// serve starts an application on loopback and returns its port.
func serve(t *testing.T, h http.HandlerFunc) uint16 {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.ParseUint(u.Port(), 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	return uint16(n)
}

func says(contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		_, _ = io.WriteString(w, body)
	}
}

// failures collects which sources were missing.
type failures struct {
	mu   sync.Mutex
	list []string
}

func (f *failures) add(s Source, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = append(f.list, s.Kind+": "+err.Error())
}

func loopback(own ...uint16) *appdial.Dialer {
	return &appdial.Dialer{Pod: netip.MustParseAddr("127.0.0.1"), OwnPorts: own, LocalAddrs: net.InterfaceAddrs}
}

// scrapeAll scrapes applications at ports, with a proxy in front that says what a proxy says.
func scrapeAll(t *testing.T, header http.Header, dial *appdial.Dialer, ports ...uint16) (body, contentType string, missing []string) {
	t.Helper()
	failed := &failures{}
	proxy := Source{Kind: Proxy, Fetch: func(context.Context, http.Header) (*http.Response, error) {
		w := httptest.NewRecorder()
		says(exposition.ContentType, "# TYPE proxy gauge\nproxy 1\n")(w, nil)
		return w.Result(), nil
	}}
	var targets []Target
	for _, p := range ports {
		targets = append(targets, Target{p, "/metrics"})
	}
	s := New(func() []byte { return []byte(ownPage) }, failed.add, append([]Source{proxy}, Applications(targets, dial)...)...)
	server := httptest.NewServer(s)
	defer server.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	if header != nil {
		req.Header = header
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("status %s, %v", resp.Status, err)
	}
	return string(text), resp.Header.Get("Content-Type"), failed.list
}

const merged = ownPage + "# TYPE proxy gauge\nproxy 1\n"

const openMetrics = "application/openmetrics-text; version=1.0.0; charset=utf-8"

// TestOrder: agent, proxy, applications in the order they were named.
func TestOrder(t *testing.T) {
	first := serve(t, says("text/plain", "# TYPE own gauge\nfirst 1"))
	second := serve(t, says("", "second 2\n"))
	body, contentType, missing := scrapeAll(t, nil, loopback(), first, second)
	if want := merged + "first 1\nsecond 2\n"; body != want || contentType != exposition.ContentType || missing != nil {
		t.Errorf("%s %q, missing %q; want %q", contentType, body, missing, want)
	}
}

func TestFormats(t *testing.T) {
	text, open := says("text/plain", "t 1\n"), says(openMetrics, "o 1\n# EOF\n")
	for name, c := range map[string]struct {
		apps        []http.HandlerFunc
		contentType string
		want        string
		missing     int
	}{
		"one text":        {[]http.HandlerFunc{text}, exposition.ContentType, "t 1\n", 0},
		"one OpenMetrics": {[]http.HandlerFunc{open}, openMetrics, "o 1\n# EOF\n", 0},
		"two OpenMetrics": {[]http.HandlerFunc{open, open}, openMetrics, "o 1\no 1\n# EOF\n", 0},
		"both":            {[]http.HandlerFunc{open, text}, exposition.ContentType, "t 1\n", 1},
		"none":            {nil, exposition.ContentType, "", 0},
	} {
		var ports []uint16
		for _, app := range c.apps {
			ports = append(ports, serve(t, app))
		}
		body, contentType, missing := scrapeAll(t, nil, loopback(), ports...)
		if body != merged+c.want || contentType != c.contentType || len(missing) != c.missing {
			t.Errorf("%s: %s %q, missing %q", name, contentType, body, missing)
		}
	}
}

// TestHeadersArePassedOn: an application negotiates with Prometheus, not with us.
func TestHeadersArePassedOn(t *testing.T) {
	const protobuf = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
	scraper := http.Header{
		"Accept":        {protobuf + ", " + openMetrics + ";q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1"},
		"User-Agent":    {"Prometheus/3.1"},
		"Authorization": {"Bearer secret"}, headerTimeout: {"7"},
	}
	var mu sync.Mutex
	var seen []http.Header
	app := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, r.Header)
	})
	other := serve(t, says("text/plain", ""))
	scrapeAll(t, scraper, loopback(), app)
	scrapeAll(t, scraper, loopback(), app, other)
	for i, accept := range []string{openMetrics + ";q=0.5,text/plain;version=0.0.4;q=0.3", plainText} {
		if got := seen[i]; got.Get("Accept") != accept || got.Get("User-Agent") != "Prometheus/3.1" || got.Get(headerTimeout) != "7" || got.Get("Authorization") != "" {
			t.Errorf("%d applications are asked with %v, want Accept %q", i+1, got, accept)
		}
	}
}

// TestFailingApplications: each is counted, none fails the scrape or another one.
func TestFailingApplications(t *testing.T) {
	good := serve(t, says("text/plain", "good 1\n"))
	const nobody = 1 // a port that the kernel gives nobody
	for name, c := range map[string]struct {
		port uint16
		says string
	}{
		"nobody listens": {nobody, "connection refused"},
		"error":          {serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }), "503"},
		"packed": {serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
		}), `packed as "gzip"`},
		"somebody else's": {serve(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://other.example/", http.StatusFound)
		}), "redirects to other.example"},
		"ours by redirect": {serve(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, fmt.Sprintf("http://127.0.0.1:%d/metrics", good), http.StatusFound)
		}), "port of the sidecar itself"},
		"hangs": {serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }), "no answer in"},
		"breaks off": {serve(t, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "half")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}), "EOF"},
		"drips": {serve(t, func(w http.ResponseWriter, r *http.Request) {
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}), "deadline"},
		"endless": {serve(t, func(w http.ResponseWriter, _ *http.Request) {
			line := []byte("long " + strings.Repeat("1", 1000) + "\n")
			for err := error(nil); err == nil; {
				_, err = w.Write(line)
			}
		}), "too large"},
		"a web page": {serve(t, says("text/html", "<html>\n")), "no metric"},
	} {
		t.Run(name, func(t *testing.T) {
			dial := loopback()
			ports := []uint16{good, c.port}
			if name == "ours by redirect" {
				dial, ports = loopback(good), []uint16{c.port}
			}
			patience := "50"
			if name == "hangs" || name == "drips" { // all of the time is lost on them
				patience = "1"
			}
			body, _, missing := scrapeAll(t, http.Header{headerTimeout: {patience}}, dial, ports...)
			if len(missing) != 1 || !strings.HasPrefix(missing[0], "application: ") || !strings.Contains(missing[0], c.says) {
				t.Errorf("missing %.300q, want %q", missing, c.says)
			}
			if !strings.HasPrefix(body, merged) || len(ports) == 2 && !strings.Contains(body, "good 1\n") || strings.Contains(body, "half") {
				t.Errorf("the page is %.300q", body)
			}
		})
	}
}

func TestProxyMissing(t *testing.T) {
	failed := &failures{}
	s := New(func() []byte { return []byte(ownPage) }, failed.add, Source{Kind: Proxy, Fetch: func(context.Context, http.Header) (*http.Response, error) {
		return nil, errors.New("no proxy runs")
	}})
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Body.String() != ownPage || w.Code != http.StatusOK || len(failed.list) != 1 || failed.list[0] != "envoy: no proxy runs" {
		t.Errorf("%d %q, missing %q", w.Code, w.Body, failed.list)
	}
}

// TestTooManyScrapes: those beyond the bound are told to come back.
func TestTooManyScrapes(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	s := New(func() []byte { return nil }, (&failures{}).add, Source{Kind: Proxy, Fetch: func(context.Context, http.Header) (*http.Response, error) {
		entered <- struct{}{}
		<-leave
		return nil, errors.New("x")
	}})
	var scrapes sync.WaitGroup
	for range maxScrapes {
		scrapes.Go(func() { s.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/metrics", nil)) })
		<-entered
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("status %d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
	}
	close(leave)
	scrapes.Wait()
}

func TestTimeout(t *testing.T) {
	for value, want := range map[string]float64{"": 10, "7.5": 7.5, "0": 10, "-1": 10, "NaN": 10, "soon": 10, "+Inf": 50, "1e9": 50} {
		if got := timeout(http.Header{headerTimeout: {value}}); got.Seconds() != want {
			t.Errorf("%q is %v, want %v s", value, got, want)
		}
	}
}
