package webhook_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pillion-mesh/pillion/internal/inject"
	"github.com/pillion-mesh/pillion/internal/inject/injecttest"
	"github.com/pillion-mesh/pillion/internal/log"
	"github.com/pillion-mesh/pillion/templates"
	"github.com/pillion-mesh/pillion/webhook"
)

// newSet compiles the default Injector as an operator does.
func newSet(t testing.TB) *inject.Set {
	t.Helper()
	set, err := injecttest.NewSet(injecttest.Operator(templates.FS), injecttest.Injector("default", "default"))
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// newHandler is the handler with all that an operator gives it: a logger that writes, and metrics.
func newHandler(t testing.TB, o webhook.Options) http.Handler {
	t.Helper()
	if o.Set == nil {
		set := newSet(t)
		o.Set = func() *inject.Set { return set }
	}
	if o.Log.GetSink() == nil {
		logger, err := log.New(io.Discard, log.Options{Level: "info"})
		if err != nil {
			t.Fatal(err)
		}
		o.Log = logger
	}
	if o.Metrics == nil {
		o.Metrics = webhook.NewMetrics(prometheus.NewRegistry())
	}
	return webhook.New(o)
}

// post sends a review and returns the response.
func post(h http.Handler, path string, body []byte) *httptest.ResponseRecorder {
	request := httptest.NewRequest(http.MethodPost, path, bytes.NewReader(body))
	request.Header.Set("Content-Type", "application/json")
	recorder := httptest.NewRecorder()
	h.ServeHTTP(recorder, request)
	return recorder
}

// discard is a response nobody reads: httptest's recorder would count among the handler's own allocations.
type discard struct {
	header http.Header
	status int
	bytes  int
}

func (d *discard) Header() http.Header { return d.header }
func (d *discard) WriteHeader(s int)   { d.status = s }
func (d *discard) Write(b []byte) (int, error) {
	d.bytes += len(b)
	return len(b), nil
}

const entryPath = "/inject/injector/default/entry/namespace?timeout=5s"

func benchmark(b *testing.B, o webhook.Options, pod string, wantPatch bool) {
	h := newHandler(b, o)
	body := injecttest.Review(pod)
	var answer struct {
		Response struct {
			Allowed bool
			Patch   []byte
		}
	}
	if err := json.Unmarshal(post(h, entryPath, body).Body.Bytes(), &answer); err != nil || !answer.Response.Allowed || (answer.Response.Patch != nil) != wantPatch {
		b.Fatalf("the answer isn't what the benchmark is about: %v %+v", err, answer)
	}
	reader := bytes.NewReader(body)
	request := httptest.NewRequest(http.MethodPost, entryPath, reader)
	request.Header.Set("Content-Type", "application/json")
	w := &discard{header: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		reader.Reset(body)
		request.Body = io.NopCloser(reader)
		h.ServeHTTP(w, request)
	}
}

func BenchmarkInjectTypical(b *testing.B) {
	benchmark(b, webhook.Options{}, injecttest.TypicalPod(5), true)
}

func BenchmarkInjectNative(b *testing.B) {
	benchmark(b, webhook.Options{Native: func(string) bool { return true }}, injecttest.TypicalPod(5), true)
}

func BenchmarkInjectEnv2000(b *testing.B) {
	benchmark(b, webhook.Options{}, injecttest.TypicalPod(2000), true)
}

func BenchmarkInjectSkip(b *testing.B) {
	pod := strings.Replace(injecttest.TypicalPod(5), `"labels":{`, `"labels":{"sidecar.istio.io/inject":"false",`, 1)
	benchmark(b, webhook.Options{}, pod, false)
}
