package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/log"
	"github.com/pillion-mesh/pillion/internal/ops"
	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
	"github.com/pillion-mesh/pillion/internal/proxy/telemetry"
	"github.com/pillion-mesh/pillion/internal/proxy/upstream"
)

var update = flag.Bool("update", false, "write the golden files")

// fake is every part of the proxy.
type fake struct {
	state  int
	calls  []string
	failed error
	after  bool // the dump fails after its first byte
}

func (f *fake) called(format string, args ...any) {
	f.calls = append(f.calls, fmt.Sprintf(format, args...))
}

func (f *fake) Process() telemetry.Process {
	return telemetry.Process{State: f.state, Uptime: 90 * time.Second}
}
func (f *fake) Info() Info {
	return Info{Version: "abc/1.0/Clean/RELEASE/Go", AllUptime: time.Hour,
		CommandLine: map[string]any{"concurrency": 2, "restart_epoch": 1}, Node: map[string]any{"id": "sidecar~10.0.0.1~shop.ns~ns.svc"}}
}
func (f *fake) FailHealth(fail bool) { f.called("health %v", fail) }
func (f *fake) Quit()                { f.called("quit") }
func (f *fake) Drain(d Drain)        { f.called("drain %+v", d) }
func (f *fake) ReopenLogs()          { f.called("reopen") }

func (f *fake) Dump(w io.Writer, q url.Values) error {
	f.called("dump %s", q.Encode())
	if f.failed != nil && !f.after {
		return f.failed
	}
	_, _ = io.WriteString(w, `{"configs":[]}`)
	return f.failed
}

func (f *fake) InitDump(w io.Writer, mask string) error {
	_, err := io.WriteString(w, `{"mask":"`+mask+`"}`)
	return err
}

func (f *fake) Explain(w io.Writer, q Question) error {
	_, err := fmt.Fprintf(w, "%+v\n", q)
	return err
}

func (f *fake) Statuses(yield func(*upstream.Status) bool) {
	limits := config.Breaker{Connections: 1024, Pending: 1024, Requests: 1024, Retries: 3}
	breakers := [2]upstream.BreakerStatus{{Limits: limits}, {Limits: limits}}
	_ = yield(&upstream.Status{
		Name: "outbound|9080||reviews.ns.svc.cluster.local", ServiceName: "outbound|9080||reviews.ns.svc.cluster.local", ViaAPI: true,
		StatName: "outbound|9080||reviews.ns.svc.cluster.local;", Breakers: breakers, Outlier: true,
		SuccessRate: -1, EjectionThreshold: -1, LocalSuccessRate: 99.5, LocalThreshold: 90.25,
		Hosts: []upstream.HostStatus{
			{Address: "10.0.0.1:9080", CxActive: 1, CxTotal: 5, RqSuccess: 4, RqTotal: 5, RqError: 1, HealthFlags: "healthy", Weight: 1,
				Region: "eu", Zone: "eu-1", SuccessRate: -1, LocalSuccessRate: -1, Hostname: "reviews-1"},
			{Address: "[fd00::1]:9080", HealthFlags: "/failed_active_hc/failed_outlier_check", FailedActive: true, FailedOutlier: true,
				Health: config.Unhealthy, Weight: 7, Priority: 1, Canary: true, SuccessRate: 50, LocalSuccessRate: 100},
		},
	}) && yield(&upstream.Status{Name: "agent", Breakers: breakers, SuccessRate: -1, EjectionThreshold: -1, LocalSuccessRate: -1, LocalThreshold: -1,
		Hosts: []upstream.HostStatus{{Address: "/run/agent.sock", HealthFlags: "healthy", Weight: 1, SuccessRate: -1, LocalSuccessRate: -1}}})
}

// peers says who everybody is.
type peers struct{ uid uint32 }

func (p peers) UnixUID(*net.UnixConn) (uint32, error) { return p.uid, nil }
func (p peers) TCPUID(*net.TCPConn) (uint32, error)   { return p.uid, nil }

const ourUID = 1337

// rig is a served api.
type rig struct {
	*fake
	options Options
	scopes  *log.Scopes
	store   *telemetry.Store
	tap     *telemetry.Tap
	url     string
}

func newRig(t testing.TB, change func(*Options)) *rig {
	t.Helper()
	f := &fake{}
	_, scopes, err := log.NewScoped(io.Discard, log.Options{}, Scopes)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{fake: f, scopes: scopes, store: telemetry.NewStore(0, telemetry.Labels{}), tap: telemetry.NewTap(time.Now)}
	runtime := config.NewRuntime([]*config.Listener{
		{Name: "virtualOutbound", Addresses: []netip.AddrPort{netip.MustParseAddrPort("0.0.0.0:15001"), netip.MustParseAddrPort("[::]:15001")}},
		{Name: "0.0.0.0_9999", Addresses: []netip.AddrPort{netip.MustParseAddrPort("0.0.0.0:9999")}},
	}, nil)
	r.options = Options{
		Guard: &ops.Guard{OwnUID: ourUID, Peers: peers{ourUID}}, Server: f, Stats: r.store, Clusters: f, Config: f,
		Runtime: func() *config.Runtime { return runtime }, Certs: testCerts, Now: func() time.Time { return certsNow },
		Logging: scopes, Explainer: f, Tap: r.tap, ProfilePath: filepath.Join(t.TempDir(), "profile"),
		Values: NewLayers([]string{"static", "admin"}, []map[string]string{{"a": "1", "b": "2"}, nil}, 1),
	}
	if change != nil {
		change(&r.options)
	}
	r.serve(t)
	return r
}

func (r *rig) serve(t testing.TB) {
	t.Helper()
	socket, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done, handler := make(chan error, 1), New(r.options)
	go func() { done <- ops.Serve(ctx, socket, handler, ops.Limits{}) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	r.url = "http://" + socket.Addr().String()
}

// ask makes a request over a real connection.
func (r *rig) ask(t testing.TB, method, target string) (int, http.Header, string) {
	t.Helper()
	req, err := http.NewRequest(method, r.url+target, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(body)
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := errors.Join(os.MkdirAll("testdata", 0o755), os.WriteFile(path, []byte(got), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
	}
}

// TestGoldens: each endpoint that reads answers 200 with the text on file; JSON is JSON.
func TestGoldens(t *testing.T) {
	r := newRig(t, nil)
	r.store.Cluster("a").CxTotal.Add(1)
	r.store.Cluster("a").CxConnectMs.Record(4)
	for file, target := range map[string]string{
		"help.txt": "/help", "home.html": "/", "certs.json": "/certs", "clusters.txt": "/clusters", "clusters.json": "/clusters?format=json",
		"listeners.txt": "/listeners", "listeners.json": "/listeners?format=json", "config_dump.json": "/config_dump",
		"init_dump.json": "/init_dump?mask=listener", "contention.txt": "/contention", "hot_restart_version.txt": "/hot_restart_version",
		"ready.txt": "/ready", "runtime.json": "/runtime", "server_info.json": "/server_info",
		"stats.txt": "/stats?usedonly&filter=cluster", "stats.json": "/stats?usedonly&filter=cluster&format=json",
		"stats.html": "/stats?usedonly&filter=cluster&format=html", "stats_buckets.txt": "/stats?filter=cx_connect_ms&histogram_buckets=disjoint",
		"prometheus.txt": "/stats/prometheus?usedonly&filter=cluster", "stats_prometheus.txt": "/stats?format=prometheus&usedonly&filter=cluster",
		"recentlookups.txt": "/stats/recentlookups",
		"explain.txt":       "/explain?direction=inbound&dst=10.0.0.1:80&src=10.1.1.1&principal=spiffe://a&sni=A.b&alpn=h2,http/1.1&method=GET&host=h&path=/&header=A:%20b",
	} {
		code, header, body := r.ask(t, http.MethodGet, target)
		if code != http.StatusOK {
			t.Errorf("%s: %d %s", target, code, body)
		}
		golden(t, file, body)
		isJSON := strings.HasSuffix(file, ".json")
		if isJSON != json.Valid([]byte(body)) && file != "hot_restart_version.txt" || isJSON != (header.Get("Content-Type") == "application/json") {
			t.Errorf("%s: %s is JSON: %v", target, header.Get("Content-Type"), json.Valid([]byte(body)))
		}
	}
}

// TestFoundingLists: every line of Envoy's /help in the founding documents stands in ours, and the list is sorted.
func TestFoundingLists(t *testing.T) {
	r := newRig(t, nil)
	_, _, help := r.ask(t, http.MethodGet, "/help")
	for _, line := range []string{
		"/: Admin home page", "/certs: print certs on machine", "/clusters: upstream cluster status",
		"/config_dump: dump current Envoy configs (experimental)", "/cpuprofiler: enable/disable the CPU profiler",
		"/healthcheck/fail: cause the server to fail health checks", "/healthcheck/ok: cause the server to pass health checks",
		"/help: print out list of admin commands", "/hot_restart_version: print the hot restart compatibility version",
		"/listeners: print listener addresses", "/logging: query/change logging levels", "/quitquitquit: exit the server",
		"/reset_counters: reset all counters to zero", "/runtime: print runtime values", "/runtime_modify: modify runtime values",
		"/server_info: print server version/status information", "/stats: print server stats",
		"/stats/prometheus: print server stats in prometheus format",
		"/contention: dump current Envoy mutex contention stats (if enabled)", "/drain_listeners: drain listeners",
		"/heapprofiler: enable/disable the heap profiler", "/init_dump: dump current Envoy init manager information (experimental)",
		"/memory: print current allocation/heap usage", "/reopen_logs: reopen access logs",
		"/ready: print server state, return 200 if LIVE, otherwise return 503",
		"/stats/recentlookups: Show recent stat-name lookups",
		"/stats/recentlookups/clear: clear list of stat-name lookups and counter",
		"/stats/recentlookups/disable: disable recording of reset stat-name lookup names",
		"/stats/recentlookups/enable: enable recording of reset stat-name lookup names",
	} {
		if !strings.Contains(help, "\n  "+line) {
			t.Errorf("%q is missing in\n%s", line, help)
		}
	}
	if !strings.HasPrefix(help, "admin commands are:\n") {
		t.Errorf("help begins with %.30q", help)
	}
}

// TestMethods: what changes something takes POST alone and says so; the rest never changes anything.
func TestMethods(t *testing.T) {
	r := newRig(t, nil)
	for _, e := range (&api{Options: r.options}).endpoints() {
		if !e.post {
			code, header, body := r.ask(t, http.MethodPut, e.path)
			if code != 405 || body != "Method PUT not allowed, GET required." || len(header["Allow"]) != 3 {
				t.Errorf("PUT %s: %d %q %v", e.path, code, body, header["Allow"])
			}
			continue
		}
		for _, method := range []string{"GET", "PUT", "DELETE"} {
			code, header, body := r.ask(t, method, e.path)
			if want := "Method " + method + " not allowed, POST required."; code != 405 || body != want || header.Get("Allow") != "POST" {
				t.Errorf("%s %s: %d %q, Allow %q", method, e.path, code, body, header.Get("Allow"))
			}
		}
		if code, header, _ := r.ask(t, "HEAD", e.path); code != 405 || header.Get("Allow") != "POST" {
			t.Errorf("HEAD %s: %d", e.path, code)
		}
	}
	if len(r.calls) > 0 {
		t.Errorf("called: %v", r.calls)
	}
}

// TestWrites: each endpoint that changes something, with its answer and what it did.
func TestWrites(t *testing.T) {
	r := newRig(t, nil)
	r.store.Cluster("a").CxTotal.Add(1)
	for _, c := range []struct{ target, body, did string }{
		{"/healthcheck/fail", "OK\n", "health true"},
		{"/healthcheck/ok", "OK\n", "health false"},
		{"/quitquitquit", "OK\n", "quit"},
		{"/reopen_logs", "OK\n", "reopen"},
		{"/drain_listeners", "OK\n", "drain {Graceful:false SkipExit:false InboundOnly:false}"},
		{"/drain_listeners?graceful&skip_exit", "OK\n", "drain {Graceful:true SkipExit:true InboundOnly:false}"},
		{"/drain_listeners?inboundonly", "OK\n", "drain {Graceful:false SkipExit:false InboundOnly:true}"},
		{"/reset_counters", "OK\n", ""},
		{"/stats/recentlookups/enable", "OK\n", ""},
		{"/stats/recentlookups/clear", "OK\n", ""},
		{"/stats/recentlookups/disable", "OK\n", ""},
		{"/cpuprofiler?enable=y", "OK\n", ""},
		{"/cpuprofiler?enable=y", "OK\n", ""},
		{"/cpuprofiler?enable=n", "OK\n", ""},
		{"/heapprofiler?enable=y", "OK\n", ""},
		{"/heapprofiler?enable=n", "OK\n", ""},
		{"/runtime_modify?b=3&c=4&a=", "OK\n", ""},
	} {
		r.calls = nil
		code, _, body := r.ask(t, http.MethodPost, c.target)
		if did := strings.Join(r.calls, ","); code != 200 || body != c.body || did != c.did {
			t.Errorf("%s: %d %q, did %q", c.target, code, body, did)
		}
	}
	if n := r.store.Cluster("a").CxTotal.Load(); n != 0 {
		t.Errorf("a counter is %d after the reset", n)
	}
	if info, err := os.Stat(r.options.ProfilePath); err != nil || info.Size() == 0 {
		t.Errorf("the profile: %v", err)
	}
	_, _, body := r.ask(t, http.MethodGet, "/runtime")
	golden(t, "runtime_modified.json", body)
}

// TestQueryErrors: each error of a query, with its status and text.
func TestQueryErrors(t *testing.T) {
	r := newRig(t, nil)
	for _, c := range []struct {
		method, target string
		code           int
		want           string // in the body
	}{
		{"GET", "/nowhere", 404, "invalid path. admin commands are:\n  /: Admin home page\n"},
		{"GET", "/stats/", 404, "invalid path. "},
		{"GET", "//help", 404, "invalid path. "},
		{"POST", "/cpuprofiler", 400, "?enable=<y|n>\n"},
		{"POST", "/cpuprofiler?enable=yes", 400, "?enable=<y|n>\n"},
		{"POST", "/heapprofiler?enable=y&x=1", 400, "?enable=<y|n>\n"},
		{"POST", "/drain_listeners?skip_exit", 400, "skip_exit requires graceful"},
		{"GET", "/clusters?format=xml", 400, `"xml"`},
		{"GET", "/listeners?format=xml", 400, `"xml"`},
		{"GET", "/stats?filter=(", 400, "Invalid re2 regex"},
		{"GET", "/stats?filter=" + strings.Repeat("a", 5000), 400, "Invalid re2 regex"},
		{"GET", "/stats?type=Some", 400, "invalid type"},
		{"GET", "/stats?format=xml", 400, "usage: /stats?format=json"},
		{"GET", "/stats?histogram_buckets=x", 400, "invalid histogram_buckets"},
		{"GET", "/stats/prometheus?histogram_buckets=detailed", 400, "invalid histogram_buckets"},
		{"POST", "/logging?level=loud", 400, "error: unknown logger level loud"},
		{"POST", "/logging?smtp=info", 400, "error: unknown logger name smtp"},
		{"POST", "/logging?level=info&http=debug", 400, "error: invalid number of parameters\n\nusage: /logging?<name>=<level>"},
		{"POST", "/logging?level=info&level=debug", 400, "error: invalid number"},
		{"POST", "/logging?level=", 400, "error: empty value"},
		{"POST", "/logging?=info", 400, "error: empty logger name"},
		{"POST", "/logging?paths=http", 400, "error: invalid path http"},
		{"POST", "/logging?paths=http:debug,smtp:info", 400, "error: unknown logger name smtp"},
		{"POST", "/runtime_modify", 400, "usage: /runtime_modify"},
		{"GET", "/explain", 400, `dst "" is not IP:PORT`},
		{"GET", "/explain?dst=1.2.3.4:5&direction=up", 400, `the direction "up"`},
		{"GET", "/explain?dst=1.2.3.4:5&src=x", 400, `src "x"`},
		{"GET", "/explain?dst=1.2.3.4:5&header=x", 400, `the header "x"`},
		{"GET", "/explain?dst=1.2.3.4:5&dest=x", 400, `the parameter "dest" is unknown`},
		{"GET", "/tap?status=600", 400, `status "600"`},
		{"GET", "/tap?status=x", 400, `status "x"`},
		{"GET", "/tap?max_rps=0", 400, `max_rps "0"`},
		{"GET", "/tap?max_rps=2000", 400, `max_rps "2000"`},
		{"GET", "/tap?paths=/", 400, `the parameter "paths" is unknown`},
	} {
		code, _, body := r.ask(t, c.method, c.target)
		if code != c.code || !strings.Contains(body, c.want) {
			t.Errorf("%s %.60s: %d %q", c.method, c.target, code, body)
		}
	}
	r.scopes.Each(func(name, level string) {
		if level != "info" {
			t.Errorf("%s is at %s after refused changes", name, level)
		}
	})
}

// TestLayers: the last layer wins; without an admin layer nothing can be changed.
func TestLayers(t *testing.T) {
	r := newRig(t, func(o *Options) {
		o.Values = NewLayers([]string{"a", "b"}, []map[string]string{{"x": "50", "y": "1"}, {"x": "25"}}, -1)
	})
	if code, _, body := r.ask(t, http.MethodPost, "/runtime_modify?x=1"); code != http.StatusServiceUnavailable || body != "No admin layer specified\n" {
		t.Errorf("%d %q", code, body)
	}
	l := NewLayers([]string{"a", "b", "admin"}, []map[string]string{{"x": "50", "y": "1"}, {"x": "25"}, nil}, 2)
	for key, want := range map[string]uint32{"x": 250_000, "y": 10_000, "z": 7} {
		if got := l.PerMillion(key, 7); got != want {
			t.Errorf("%s is %d, want %d", key, got, want)
		}
	}
	many := map[string]string{}
	for n := range maxOverrides + 1 {
		many[fmt.Sprint(n)] = "1"
	}
	if l.Modify(many) == nil {
		t.Error("any number of keys is taken")
	}
	if err := l.Modify(map[string]string{"x": "100"}); err != nil || l.PerMillion("x", 0) != million || l.Snapshot()["x"] != "100" {
		t.Errorf("%v, %v", err, l.Snapshot())
	}
}

const million = 1_000_000

func TestLogging(t *testing.T) {
	r := newRig(t, nil)
	for _, step := range []struct{ query, want string }{
		{"", "  http: info\n"}, {"?http=debug", "  http: debug\n"}, {"?paths=http:trace,rbac:off", "  rbac: off\n"},
		{"?level=warn", "  http: warning\n"},
	} {
		code, _, body := r.ask(t, http.MethodPost, "/logging"+step.query)
		if code != 200 || !strings.HasPrefix(body, "active loggers:\n") || !strings.Contains(body, step.want) {
			t.Errorf("%s: %d %s", step.query, code, body)
		}
	}
	_, _, body := r.ask(t, http.MethodPost, "/logging")
	golden(t, "logging.txt", body)
}

func TestStates(t *testing.T) {
	r := newRig(t, nil)
	for state, want := range map[int]string{
		telemetry.Live: "LIVE", telemetry.Draining: "DRAINING", telemetry.PreInitializing: "PRE_INITIALIZING", telemetry.Initializing: "INITIALIZING",
	} {
		r.state = state
		code, _, body := r.ask(t, http.MethodGet, "/ready")
		if body != want+"\n" || (code == 200) != (want == "LIVE") || code != 200 && code != 503 {
			t.Errorf("%d %q, want %s", code, body, want)
		}
	}
}

// statusError is an error that knows its status.
type statusError int

func (e statusError) Error() string   { return "no such thing" }
func (e statusError) HTTPStatus() int { return int(e) }

func TestDumpErrors(t *testing.T) {
	r := newRig(t, nil)
	r.failed = fmt.Errorf("wrapped: %w", statusError(404))
	if code, _, body := r.ask(t, "GET", "/config_dump?resource=x&mask=y&name_regex=z&include_eds"); code != 404 || !strings.Contains(body, "no such thing") {
		t.Errorf("%d %q", code, body)
	}
	if want := "dump include_eds=&mask=y&name_regex=z&resource=x"; r.calls[0] != want {
		t.Errorf("asked for %s", r.calls[0])
	}
	r.after = true
	resp, err := http.Get(r.url + "/config_dump")
	if err == nil {
		defer resp.Body.Close()
		if _, err = io.ReadAll(resp.Body); err == nil && resp.StatusCode == http.StatusOK {
			t.Error("half an answer looks whole")
		}
	}
}

func TestMemoryAndDump(t *testing.T) {
	r := newRig(t, func(o *Options) { o.MutexTracing = true })
	for _, target := range []string{"/memory", "/contention"} {
		_, _, body := r.ask(t, "GET", target)
		var all map[string]string // 64-bit numbers are strings
		if err := json.Unmarshal([]byte(body), &all); err != nil {
			t.Errorf("%s: %v in %s", target, err, body)
		}
	}
	if code, _, body := r.ask(t, "GET", "/heap_dump"); code != 200 || !strings.HasPrefix(body, "\x1f\x8b") {
		t.Errorf("heap dump: %d %.20q", code, body)
	}
}

// TestGuard: who isn't the proxy's user reads and changes nothing, unless a setting says otherwise.
func TestGuard(t *testing.T) {
	const post = http.MethodPost
	for _, c := range []struct {
		name     string
		uid      uint32
		change   func(*Options)
		refused  []string
		accepted []string
	}{
		{"ourselves", ourUID, nil, nil, []string{"/logging", "/quitquitquit", "/reset_counters"}},
		{"application", 1000, nil, []string{"/logging", "/quitquitquit", "/reset_counters", "/drain_listeners"}, nil},
		{"root", 0, nil, []string{"/logging", "/quitquitquit"}, nil},
		{"logging open", 0, func(o *Options) { o.LoopbackLogging = true }, []string{"/quitquitquit", "/reset_counters"}, []string{"/logging"}},
		{"quit open", 1000, func(o *Options) { o.LoopbackQuit = true }, []string{"/logging"}, []string{"/quitquitquit", "/drain_listeners"}},
	} {
		r := newRig(t, func(o *Options) {
			o.Guard.Peers = peers{c.uid}
			if c.change != nil {
				c.change(o)
			}
		})
		for _, target := range c.refused {
			code, _, body := r.ask(t, post, target)
			if want := fmt.Sprintf("peer uid %d, want %d", c.uid, ourUID); code != 403 || !strings.Contains(body, want) {
				t.Errorf("%s: %s: %d %q", c.name, target, code, body)
			}
		}
		if len(r.calls) > 0 {
			t.Errorf("%s: did %v", c.name, r.calls)
		}
		for _, target := range c.accepted {
			if code, _, body := r.ask(t, post, target); code != http.StatusOK {
				t.Errorf("%s: %s: %d %q", c.name, target, code, body)
			}
		}
		if code, _, _ := r.ask(t, "GET", "/stats"); code != http.StatusOK {
			t.Errorf("%s may not read: %d", c.name, code)
		}
	}
}

// TestForged: requests made for somebody else get nothing.
func TestForged(t *testing.T) {
	r := newRig(t, nil)
	for name, value := range map[string]string{"Origin": "http://evil", "X-Forwarded-For": "1.2.3.4", "Via": "x", "Host": "evil.example"} {
		for _, target := range []string{"/stats", "/nowhere", "/config_dump"} {
			req := httptest.NewRequest(http.MethodGet, r.url+target, nil)
			req.RequestURI = ""
			if name == "Host" {
				req.Host = value
			}
			req.Header.Set(name, value)
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusForbidden {
				t.Errorf("%s with %s: %d", target, name, resp.StatusCode)
			}
		}
	}
}

func TestTap(t *testing.T) {
	r := newRig(t, nil)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, r.url+"/tap?path=/buy&method=get&max_rps=100", nil)
	resp, err := http.DefaultClient.Do(req) // the head is there once it is watching
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	x := &stream.Exchange{}
	for _, path := range []string{"/sell", "/buy?token=secret"} {
		x.Reset(&stream.Conn{}, time.Time{})
		x.Request.Method, x.Request.Path = "GET", path
		r.tap.Request(x)
		x.Response.Status = 503
		r.tap.Response(x)
		r.tap.End(x)
	}
	lines := json.NewDecoder(resp.Body)
	for _, want := range []string{"req", "rsp", "end"} {
		var line map[string]any
		if err := lines.Decode(&line); err != nil || line["event"] != want {
			t.Fatalf("%v, %v; want %s", line, err, want)
		}
		if want == "req" && line["path"] != "/buy" {
			t.Errorf("path %v", line["path"])
		}
	}
}

func TestScrape(t *testing.T) {
	store := telemetry.NewStore(0, telemetry.Labels{})
	h := Scrape(store, func() telemetry.Process { return telemetry.Process{} })
	for target, want := range map[string]int{"/stats/prometheus": 200, "/stats/prometheus?filter=(": 400, "/stats": 404, "/": 404, "/config_dump": 404} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, nil))
		if w.Code != want {
			t.Errorf("%s: %d", target, w.Code)
		}
	}
}

// FuzzQuery: no query makes an endpoint that reads panic, take long or answer outside 200, 4xx.
func FuzzQuery(f *testing.F) {
	for _, seed := range []string{"filter=a|b&usedonly", "format=json&histogram_buckets=detailed", "dst=1.2.3.4:5&header=a:b", "resource=x&name_regex=(", "paths=a:b,c"} {
		f.Add("/stats", seed)
		f.Add("/explain", seed)
	}
	r := newRig(f, func(o *Options) { o.Tap = nil }) // it streams
	handler := &api{Options: r.options, byPath: map[string]*endpoint{}}
	for _, e := range handler.endpoints() {
		if e.path != "/heap_dump" && e.path != "/cpuprofiler" && e.path != "/heapprofiler" {
			handler.byPath[e.path] = &e
		}
	}
	f.Fuzz(func(t *testing.T, path, query string) {
		e := handler.byPath[path]
		if e == nil {
			return
		}
		req := httptest.NewRequest(http.MethodPost, "/x", nil)
		req.URL.Path, req.URL.RawQuery = path, query
		w := httptest.NewRecorder()
		e.serve(w, req)
		if w.Code != 200 && (w.Code < 400 || w.Code > 503) {
			t.Errorf("%s?%s: %d", path, query, w.Code)
		}
	})
}

func BenchmarkHandler(b *testing.B) {
	r := newRig(b, nil)
	for n := range 2000 {
		r.store.Cluster(fmt.Sprintf("outbound|80||s%d.ns.svc.cluster.local", n)).CxTotal.Add(1)
	}
	q := telemetry.Query{Filter: regexp.MustCompile("upstream_cx_total")}
	b.ReportAllocs()
	for b.Loop() {
		var out bytes.Buffer
		if err := r.store.Prometheus(&out, telemetry.Process{}, q); err != nil {
			b.Fatal(err)
		}
	}
}
