package tracing_test

import (
	"context"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"
	"time"

	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/filter"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
	"github.com/pillion-mesh/pillion/internal/proxy/tracing"
)

const (
	trace  = "4bf92f3577b34da6a3ce929d0e0e4736"
	caller = "e457b5a2e4d86bd1"
)

// counted waits until a statistic has that value.
func (r *rig) counted(name string, want uint64) {
	r.Helper()
	eventually(r.T, func() bool { return r.store.Counter(name).Load() == want }, name)
}

// TestOTLPOverGRPC: a request's span reaches a real gRPC server, and says what Envoy's would.
func TestOTLPOverGRPC(t *testing.T) {
	c, address := grpcCollector(t)
	r := newRig(t, address, &config.TraceProvider{GRPC: true, Service: "shop", Headers: [][2]string{{"x-token", "t"}}, Environment: true}, func(r *rig) {
		r.cfg.Tracing.MaxPathTag = 9
		r.cfg.Tracing.Tags = []config.TraceTag{
			{Name: "literal", Value: config.Format{Source: "50%%", OmitEmpty: true}},
			{Name: "who", Value: config.Format{Source: "%REQ(x-who)%", OmitEmpty: true}, Missing: "nobody"},
			{Name: "none", Value: config.Format{Source: "%REQ(x-none)%", OmitEmpty: true}},
			{Name: "component", Value: config.Format{Source: "mine", OmitEmpty: true}},
		}
		r.route.Tracing = &config.RouteTracing{Client: 1e6, Random: 1e6, Overall: 1e6, Tags: []config.TraceTag{{Name: "route", Value: config.Format{Source: "yes"}}}}
	})
	seen, _ := r.get("/long/path/", "user-agent", "test", "traceparent", "00-"+trace+"-"+caller+"-01", "tracestate", "v=1")
	s := c.wait(1)[0]
	if hex.EncodeToString(s.TraceId) != trace || hex.EncodeToString(s.ParentSpanId) != caller || s.TraceState != "v=1" {
		t.Errorf("%v isn't of the caller's trace", s)
	}
	if want := "00-" + trace + "-" + hex.EncodeToString(s.SpanId) + "-01"; seen.Get("traceparent") != want || seen.Get("tracestate") != "v=1" {
		t.Errorf("the application got %q, want %q", seen.Get("traceparent"), want)
	}
	if s.Name != "app.shop:80/*" || s.Kind != tracev1.Span_SPAN_KIND_CLIENT || s.Status != nil || s.EndTimeUnixNano < s.StartTimeUnixNano {
		t.Errorf("span %v", s)
	}
	if age := time.Since(time.Unix(0, int64(s.StartTimeUnixNano))); age < 0 || age > patient {
		t.Errorf("the span began %s ago", age)
	}
	got := tags(s.Attributes)
	for name, want := range map[string]string{
		"node_id": "sidecar~1", "zone": "z1", "guid:x-request-id": seen.Get("x-request-id"), "http.url": "http://shop/long/pat",
		"http.method": "GET", "downstream_cluster": "-", "user_agent": "test", "http.protocol": "HTTP/1.1", "peer.address": "127.0.0.1",
		"request_size": "0", "response_size": "5", "component": "mine", "upstream_cluster": "app", "upstream_cluster.name": "app",
		"http.status_code": "200", "response_flags": "-", "literal": "50%", "who": "nobody", "route": "yes",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	if _, there := got["none"]; there || len(got) != len(s.Attributes) || got["error"] != "" {
		t.Errorf("tags %v", s.Attributes)
	}
	resource := tags(c.groups[0].Resource.Attributes)
	if resource["service.name"] != "shop" || resource["telemetry.sdk.name"] != "pillion" || resource["team"] != "a b" || len(resource) != 5 {
		t.Errorf("resource %v", resource)
	}
	if c.headers[0] != "[t] [collector]" {
		t.Errorf("metadata %s", c.headers[0])
	}
	r.counted("tracing.opentelemetry.spans_sent", 1)
	if got := r.store.HTTP("test").TracingRandom.Load(); got != 1 {
		t.Errorf("%d requests were sampled by chance", got)
	}
}

// TestOTLPOverHTTP: several managers' spans of equal providers, a failure, and no trace of what isn't sampled.
func TestOTLPOverHTTP(t *testing.T) {
	c, address := httpCollector(t)
	r := newRig(t, address, &config.TraceProvider{Path: "/v1/traces", Authority: "otel:4318", Headers: [][2]string{{"x-token", "t"}}}, func(r *rig) {
		r.conn.Direction, r.failing, r.route.Operation = config.Inbound, 1, ""
	})
	seen, _ := r.get("/", "traceparent", "00-"+trace+"-"+caller+"-00")
	if got := seen.Get("traceparent"); !strings.HasPrefix(got, "00-"+trace) || !strings.HasSuffix(got, "-00") || strings.Contains(got, caller) {
		t.Errorf("the application got %q", got)
	}
	r.mu.Lock()
	r.failing = 1
	r.mu.Unlock()
	seen, _ = r.get("/", "traceparent", "broken", "tracestate", "v=1")
	s := c.wait(1)[0]
	if len(s.ParentSpanId) != 0 || s.Kind != tracev1.Span_SPAN_KIND_SERVER || s.Name != "ingress" || seen.Get("tracestate") != "" {
		t.Errorf("span %v", s)
	}
	if s.Status.GetCode() != tracev1.Status_STATUS_CODE_ERROR || tags(s.Attributes)["error"] != "true" || tags(s.Attributes)["http.status_code"] != "503" {
		t.Errorf("status %v of %v", s.Status, s.Attributes)
	}
	if c.headers[0] != "POST otel:4318/v1/traces application/x-protobuf t" {
		t.Errorf("request %q", c.headers[0])
	}
	if got := tags(c.groups[0].Resource.Attributes)["service.name"]; got != "unknown_service:envoy" {
		t.Errorf("service %q", got)
	}
	r.counted("tracing.opentelemetry.spans_sent", 1)
}

// TestAttempts: with spawn_upstream_span each attempt is a span below the request's.
func TestAttempts(t *testing.T) {
	c, address := httpCollector(t)
	r := newRig(t, address, &config.TraceProvider{Path: "/"}, func(r *rig) {
		r.cfg.Tracing.Spawn, r.failing = true, 1
		r.route.Forward.Retry = &config.RetryPolicy{On: config.Retry5xx, Retries: 2, BaseInterval: time.Millisecond}
	})
	seen, _ := r.get("/")
	all := c.wait(3)
	first, second, whole := all[0], all[1], all[2]
	if tags(first.Attributes)["http.status_code"] != "503" || tags(second.Attributes)["http.status_code"] != "200" || tags(second.Attributes)["upstream_address"] == "" {
		t.Errorf("attempts %v %v", first.Attributes, second.Attributes)
	}
	for _, s := range []*tracev1.Span{first, second} {
		if string(s.ParentSpanId) != string(whole.SpanId) || s.Kind != tracev1.Span_SPAN_KIND_CLIENT || s.Name != "router app egress" {
			t.Errorf("attempt %v", s)
		}
	}
	if whole.Kind != tracev1.Span_SPAN_KIND_SERVER || whole.Name != "app.shop:80/*" {
		t.Errorf("span %v", whole)
	}
	if !strings.Contains(seen.Get("traceparent"), hex.EncodeToString(second.SpanId)) {
		t.Errorf("the application got %q", seen.Get("traceparent"))
	}
}

// TestDecorator: the two sides agree on a name.
func TestDecorator(t *testing.T) {
	const header = "X-Envoy-Decorator-Operation"
	c, address := httpCollector(t)
	r := newRig(t, address, &config.TraceProvider{Path: "/"}, nil)
	if seen, _ := r.get("/"); seen.Get(header) != "app.shop:80/*" {
		t.Errorf("the application's proxy is told %q", seen.Get(header))
	}
	c.wait(1)
	in := newRig(t, address, &config.TraceProvider{Path: "/"}, func(r *rig) { r.conn.Direction = config.Inbound })
	seen, answer := in.get("/", header, "client's")
	if seen.Get(header) != "" || answer.Get(header) != "" {
		t.Errorf("passed on %q and %q", seen.Get(header), answer.Get(header))
	}
	if s := c.wait(2)[1]; s.Name != "client's" {
		t.Errorf("name %q", s.Name)
	}
	if _, answer = in.get("/"); answer.Get(header) != "app.shop:80/*" {
		t.Errorf("the client's proxy is told %q", answer.Get(header))
	}
}

// TestZipkin: B3, the client's span taken over by the server, Zipkin's JSON.
func TestZipkin(t *testing.T) {
	bodies, address := zipkinCollector(t)
	r := newRig(t, address, &config.TraceProvider{Kind: config.Zipkin, Path: "/api/v2/spans", Authority: "zipkin"}, func(r *rig) { r.conn.Direction = config.Inbound })
	seen, _ := r.get("/", "x-b3-traceid", trace, "x-b3-spanid", caller, "x-b3-sampled", "1", "x-b3-parentspanid", "05e3ac9a4f6e3b90")
	for name, want := range map[string]string{"X-B3-Traceid": trace, "X-B3-Spanid": caller, "X-B3-Parentspanid": "05e3ac9a4f6e3b90", "X-B3-Sampled": "1", "Traceparent": ""} {
		if got := seen.Get(name); got != want {
			t.Errorf("the application got %s %q", name, got)
		}
	}
	r.counted("tracing.zipkin.spans_sent", 1)
	got := bodies()
	if !strings.HasPrefix(got, `POST zipkin/api/v2/spans application/json [{"traceId":"`+trace+`","parentId":"05e3ac9a4f6e3b90","id":"`+caller+`","kind":"SERVER","name":"app.shop:80/*"`) ||
		!strings.Contains(got, `"shared":true,"localEndpoint":{"serviceName":"shop.default"},"tags":{`) || !strings.Contains(got, `"http.status_code":"200"`) {
		t.Error(got)
	}
	if seen, _ = r.get("/", "x-b3-sampled", "0"); seen.Get("X-B3-Sampled") != "0" || len(seen.Get("X-B3-Traceid")) != 16 || seen.Get("X-B3-Parentspanid") != "" {
		t.Errorf("the application got %v", seen)
	}
}

// TestLostSpans: spans of a collector that doesn't take them are counted, and no request waits.
func TestLostSpans(t *testing.T) {
	c, address := grpcCollector(t)
	c.refuse = true
	r := newRig(t, address, &config.TraceProvider{GRPC: true}, nil)
	r.get("/")
	r.counted("tracing.opentelemetry.spans_dropped", 1)
	r.counted("tracing.opentelemetry.reports_failed", 1)
}

// TestBound: what waits is bounded; the rest is counted as dropped. Close sends what waits.
func TestBound(t *testing.T) {
	release, sent := make(chan struct{}), make(chan int, 100)
	e := tracing.New(tracing.Options{Interval: time.Nanosecond, Send: func(ctx context.Context, c *filter.Call) (*filter.Answer, error) {
		sent <- len(c.Body)
		<-release
		return &filter.Answer{Status: http.StatusOK}, nil
	}})
	m := &config.HTTPManager{Tracing: &config.Tracing{Provider: &config.TraceProvider{Cluster: "c", MaxSpans: 3}}}
	tracer := e.Tracer(m)
	span := func() {
		x := &stream.Exchange{Conn: &stream.Conn{}, Start: time.Now(), Traced: true}
		tracer.Begin(x)
		tracer.Attempt(x)
		tracer.End(x)
	}
	span()
	first := <-sent // the goroutine is busy from now on
	for range 10 {
		span()
	}
	close(release)
	e.Close(context.Background())
	close(sent)
	rest := 0
	for n := range sent {
		rest += n
	}
	if rest < 2*first || rest > 4*first {
		t.Errorf("%d bytes came after the first %d, want those of three spans", rest, first)
	}
	span() // nobody takes it, and nothing happens
}

// TestStalledCollector: one that takes nothing doesn't keep another's spans from it.
func TestStalledCollector(t *testing.T) {
	stuck, arrived := make(chan struct{}, 1), make(chan struct{}, 1)
	e := tracing.New(tracing.Options{Interval: time.Nanosecond, Send: func(ctx context.Context, c *filter.Call) (*filter.Answer, error) {
		if c.Cluster == "stalled" {
			stuck <- struct{}{}
			<-ctx.Done()
			return nil, ctx.Err()
		}
		arrived <- struct{}{}
		return &filter.Answer{Status: http.StatusOK}, nil
	}})
	span := func(cluster string) {
		x := &stream.Exchange{Conn: &stream.Conn{}, Start: time.Now(), Traced: true}
		tracer := e.Tracer(&config.HTTPManager{Tracing: &config.Tracing{Provider: &config.TraceProvider{Cluster: cluster, Timeout: time.Hour}}})
		tracer.Begin(x)
		tracer.End(x)
	}
	for _, each := range []struct {
		cluster string
		came    chan struct{}
	}{{"stalled", stuck}, {"other", arrived}} {
		span(each.cluster)
		select {
		case <-each.came:
		case <-time.After(patient):
			t.Fatalf("no span came to %s", each.cluster)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	e.Close(ctx)
}

// TestNobodyTraces: without a provider there is no tracer.
func TestNobodyTraces(t *testing.T) {
	e := tracing.New(tracing.Options{})
	defer e.Close(context.Background())
	if e.Tracer(&config.HTTPManager{}) != nil || e.Tracer(&config.HTTPManager{Tracing: &config.Tracing{}}) != nil {
		t.Error("there is a tracer")
	}
}
