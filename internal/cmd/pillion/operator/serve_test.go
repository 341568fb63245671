package operator

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-logr/logr"
)

func TestReadyz(t *testing.T) {
	fault := errors.New("not read yet")
	h := &health{}
	h.add("caches", func(context.Context) error { return nil })
	h.add("injectors", func(context.Context) error { return fault })
	h.add("certificate", func(context.Context) error { t.Error("asked although an earlier check failed"); return nil })
	for _, c := range []struct {
		name  string
		do    func()
		code  int
		words string
	}{
		{"starting", func() {}, 503, "the operator is starting"},
		{"a check fails", func() { h.started.Store(true) }, 503, "injectors: not read yet"},
		{"all well", func() { fault = nil; h.checks = h.checks[:2] }, 200, "ok"},
		{"ending", func() { h.ending.Store(true) }, 503, "the operator is ending"},
	} {
		c.do()
		recorder := httptest.NewRecorder()
		h.readyz(recorder, httptest.NewRequest(http.MethodGet, "/readyz", nil))
		if recorder.Code != c.code || !strings.Contains(recorder.Body.String(), c.words) {
			t.Errorf("%s: %d %q", c.name, recorder.Code, recorder.Body)
		}
	}
}

func TestOpsServer(t *testing.T) {
	log := &address{}
	server, err := serveOps("127.0.0.1:0", &health{}, registry(), logr.New(log))
	if err != nil {
		t.Fatal(err)
	}
	defer server.shutdown(0)
	for path, want := range map[string]int{"/healthz": 200, "/livez": 200, "/readyz": 503, "/metrics": 200, "/": 404} {
		answer, err := http.Get("http://" + log.value + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("%s: %d %s", path, answer.StatusCode, body)
		}
		if path == "/metrics" && !strings.Contains(string(body), "go_goroutines") {
			t.Error("/metrics has nothing of the Go runtime")
		}
	}
	if _, err := serveOps(log.value, &health{}, registry(), logr.Discard()); err == nil || !strings.Contains(err.Error(), "ops server") {
		t.Errorf("an address in use: %v", err)
	}
}

func TestDrainingAnswersAndClosesConnections(t *testing.T) {
	d := &drainable{next: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })}
	server := httptest.NewServer(d)
	defer server.Close()
	for _, draining := range []bool{false, true} {
		d.draining.Store(draining)
		answer, err := server.Client().Get(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusOK || answer.Close != draining {
			t.Errorf("draining %t: status %d, connection closes %t", draining, answer.StatusCode, answer.Close)
		}
	}
}

// address is a log sink that keeps the last "address".
type address struct{ value string }

func (*address) Init(logr.RuntimeInfo) {}
func (*address) Enabled(int) bool      { return true }
func (a *address) Info(_ int, _ string, kv ...any) {
	for i := 0; i+1 < len(kv); i += 2 {
		if kv[i] == "address" {
			a.value, _ = kv[i+1].(string)
		}
	}
}
func (*address) Error(error, string, ...any)      {}
func (a *address) WithValues(...any) logr.LogSink { return a }
func (a *address) WithName(string) logr.LogSink   { return a }
