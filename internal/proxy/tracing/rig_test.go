package tracing_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"testing"
	"time"

	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	engine "github.com/pillion-mesh/pillion/internal/proxy/http"
	"github.com/pillion-mesh/pillion/internal/proxy/socket/sockettest"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
	"github.com/pillion-mesh/pillion/internal/proxy/telemetry"
	"github.com/pillion-mesh/pillion/internal/proxy/tracing"
	"github.com/pillion-mesh/pillion/internal/proxy/upstream"
)

const patient = 30 * time.Second

// rig is an engine with tracing, before an application and collectors.
type rig struct {
	*testing.T
	engine   *engine.Engine
	exporter *tracing.Exporter
	store    *telemetry.Store
	cfg      *config.HTTPManager
	route    *config.Route
	address  string
	conn     stream.Conn // of clients

	mu      sync.Mutex
	seen    http.Header // by the application, of the last request
	failing int         // how many requests it answers 503
}

func cluster(name, address string, protocol config.UpstreamProtocol) *config.Cluster {
	e := &config.Endpoints{Localities: []config.Locality{{Hosts: []*config.Endpoint{{Address: netip.MustParseAddrPort(address)}}}}}
	breaker := config.Breaker{Connections: 64, Pending: 64, Requests: 64, Retries: 3}
	return &config.Cluster{
		Name: name, Kind: config.StaticHosts, Endpoints: config.NewCell(e), ConnectTimeout: patient,
		Breakers: [2]config.Breaker{breaker, breaker}, HTTP: config.UpstreamHTTP{IdleTimeout: time.Hour, Protocol: protocol},
	}
}

// newRig serves one route to an application. Spans go to the cluster "collector" at that address.
func newRig(t *testing.T, collector string, provider *config.TraceProvider, change func(*rig)) *rig {
	t.Helper()
	r := &rig{T: t, store: telemetry.NewStore(0, telemetry.Labels{})}
	r.route = &config.Route{Match: config.RouteMatch{Path: "/"}, Forward: &config.Forward{Cluster: "app"}, Operation: "app.shop:80/*", Propagate: true}
	table := &config.RouteTable{VirtualHosts: []*config.VirtualHost{{Name: "all", Domains: []string{"*"}, Routes: []*config.Route{r.route}}}}
	provider.Cluster = "collector"
	r.cfg = &config.HTTPManager{
		StatPrefix: "test", Routes: config.NewCell(table), ServerHeader: config.ServerPassThrough, GenerateRequestID: true,
		Tracing: &config.Tracing{Client: 1e6, Random: 1e6, Overall: 1e6, MaxPathTag: 256, Provider: provider},
	}
	manager := upstream.NewManager(upstream.Options{Store: r.store})
	r.engine = engine.New(engine.Options{Upstreams: manager, Store: r.store, Tracer: func(m *config.HTTPManager) engine.Tracer {
		if made := r.exporter.Tracer(m); made != nil {
			return made
		}
		return nil
	}})
	r.exporter = tracing.New(tracing.Options{
		Send: r.engine.Call, Store: r.store, Interval: time.Millisecond, Version: "v9",
		Node:   tracing.Node{ID: "sidecar~1", Cluster: "shop.default", Zone: "z1"},
		Getenv: func(name string) string { return map[string]string{"OTEL_RESOURCE_ATTRIBUTES": "team=a%20b, x"}[name] },
	})
	if change != nil {
		change(r)
	}
	protocol := config.UpstreamHTTP1
	if provider.GRPC {
		protocol = config.UpstreamHTTP2
	}
	manager.Apply(config.NewRuntime(nil, []*config.Cluster{
		cluster("app", r.application(), config.UpstreamHTTP1), cluster("collector", collector, protocol),
	}))
	r.listen()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patient)
		defer cancel()
		r.exporter.Close(ctx)
		r.engine.Close(ctx)
		manager.Close()
	})
	return r
}

func (r *rig) application() string {
	return served(r.T, http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.seen = q.Header.Clone()
		if r.failing > 0 {
			r.failing--
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, "hello")
	}))
}

func served(t *testing.T, h http.Handler) string {
	t.Helper()
	l := sockettest.Listen(t)
	s := &http.Server{Handler: h}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
	return l.Addr().String()
}

func (r *rig) listen() {
	l, err := net.Listen("tcp", sockettest.Any())
	if err != nil {
		r.Fatal(err)
	}
	r.address = l.Addr().String()
	r.Cleanup(func() { _ = l.Close() })
	go func() {
		for id := uint64(1); ; id++ {
			raw, err := l.Accept()
			if err != nil {
				return
			}
			go r.engine.Serve(&stream.Conn{
				ID: id, Start: time.Now(), Chain: &config.Chain{HTTP: r.cfg}, Direction: r.conn.Direction,
				Remote: raw.RemoteAddr().(*net.TCPAddr).AddrPort(), Local: raw.LocalAddr().(*net.TCPAddr).AddrPort(),
			}, raw)
		}
	}()
}

// get asks for a path with headers, and returns what the application saw.
func (r *rig) get(path string, headers ...string) (seen, answer http.Header) {
	r.Helper()
	q, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+r.address+path, nil)
	if err != nil {
		r.Fatal(err)
	}
	q.Host = "shop"
	for i := 0; i+1 < len(headers); i += 2 {
		q.Header.Set(headers[i], headers[i+1])
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patient}
	got, err := client.Do(q)
	if err != nil {
		r.Fatal(err)
	}
	defer got.Body.Close()
	if _, err := io.Copy(io.Discard, got.Body); err != nil {
		r.Fatal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen, got.Header
}

func eventually(t *testing.T, ok func() bool, what string) {
	t.Helper()
	for end := time.Now().Add(patient); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("%s never came true", what)
}

// collector keeps what came in OTLP.
type collector struct {
	*testing.T
	mu      sync.Mutex
	groups  []*tracev1.ResourceSpans
	headers []string
	refuse  bool
}

func (c *collector) take(r *tracev1.TracesData, header string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refuse {
		return fmt.Errorf("not now")
	}
	c.groups = append(c.groups, r.ResourceSpans...)
	c.headers = append(c.headers, header)
	return nil
}

func (c *collector) spans() (all []*tracev1.Span) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, g := range c.groups {
		for _, s := range g.ScopeSpans {
			all = append(all, s.Spans...)
		}
	}
	return all
}

// wait returns the spans when there are n.
func (c *collector) wait(n int) []*tracev1.Span {
	c.Helper()
	eventually(c.T, func() bool { return len(c.spans()) >= n }, fmt.Sprintf("%d spans", n))
	return c.spans()
}

// grpcCollector is a real gRPC server with the collector's method. TracesData is the request message by another name.
func grpcCollector(t *testing.T) (*collector, string) {
	t.Helper()
	c := &collector{T: t}
	l := sockettest.Listen(t)
	s := grpc.NewServer()
	s.RegisterService(&grpc.ServiceDesc{
		ServiceName: "opentelemetry.proto.collector.trace.v1.TraceService", HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Export", Handler: func(_ any, ctx context.Context, read func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			var in tracev1.TracesData
			if err := read(&in); err != nil {
				return nil, err
			}
			md, _ := metadata.FromIncomingContext(ctx)
			return &emptypb.Empty{}, c.take(&in, fmt.Sprint(md.Get("x-token"), md.Get(":authority")))
		}}},
	}, nil)
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	return c, l.Addr().String()
}

// httpCollector takes OTLP over HTTP.
func httpCollector(t *testing.T) (*collector, string) {
	t.Helper()
	c := &collector{T: t}
	return c, served(t, http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		var in tracev1.TracesData
		body, err := io.ReadAll(q.Body)
		if err == nil {
			err = proto.Unmarshal(body, &in)
		}
		if err == nil {
			err = c.take(&in, q.Method+" "+q.Host+q.URL.Path+" "+q.Header.Get("Content-Type")+" "+q.Header.Get("X-Token"))
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	}))
}

// tags are a span's attributes, or a resource's.
func tags(list []*commonv1.KeyValue) map[string]string {
	m := map[string]string{}
	for _, each := range list {
		m[each.Key] = each.Value.GetStringValue()
	}
	return m
}

// zipkinCollector keeps the bodies of what is posted.
func zipkinCollector(t *testing.T) (bodies func() string, address string) {
	var mu sync.Mutex
	var all bytes.Buffer
	address = served(t, http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(&all, "%s %s%s %s ", q.Method, q.Host, q.URL.Path, q.Header.Get("Content-Type"))
		_, _ = io.Copy(&all, q.Body)
	}))
	return func() string { mu.Lock(); defer mu.Unlock(); return all.String() }, address
}
