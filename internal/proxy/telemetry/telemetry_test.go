package telemetry

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"math/rand/v2"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// example is a store in which a little of everything was counted.
func example() *Store {
	s := NewStore(2, Labels{Workload: "shop-v1", Namespace: "shop", Build: "1.0"})
	s.Server.TotalConnections.Store(3)
	l := s.Listener("[::]:15001")
	l.CxTotal.Add(3)
	l.CxActive.Add(1)
	c := s.Cluster("outbound|80||shop;")
	c.CxTotal.Add(2)
	c.CxConnectMs.Record(3)
	c.Breakers[1].RqOpen.Store(1)
	for id := range uint64(4) { // whatever the shard
		c.Shard(id).RqTotal.Add(1)
		c.Shard(id).Response([]int{200, 200, 503, 999}[id], 7*time.Millisecond)
	}
	c.TLS.Handshake.Add(2)
	s.Cluster("other").MembershipTotal.Store(5)
	h := s.HTTP("outbound_0.0.0.0_80;")
	h.RBACDenied.Add(1)
	h.Shard(1).RqTotal.Add(1)
	h.Shard(1).Response(404, 30*time.Millisecond)
	s.TCPPrefix("outbound|80||shop").CxTotal.Add(2)
	s.Counter("http.outbound_0.0.0.0_80;.rbac.istio_dry_run_allow_shadow_denied").Add(4)
	s.Counter("listener_manager.lds.update_success").Add(1)
	s.Gauge("control_plane.connected_state").Store(1)
	s.SetText("cluster_manager.cds.version_text", `v"1`)
	i := s.Istio(nil)
	i.Series(request(200), &IstioCache{}).Request(request(200))
	i.Series(request(503), &IstioCache{}).Request(request(503))
	tcp := request(0)
	tcp.Protocol, tcp.Conn.Direction = stream.NoProtocol, config.Inbound
	series := i.Series(tcp, &IstioCache{})
	series.Opened.Add(1)
	series.Sent.Add(100)
	return s
}

func request(status int) *stream.Exchange {
	x := &stream.Exchange{}
	x.Reset(&stream.Conn{ID: 3}, time.Time{})
	x.Protocol, x.Response.Status, x.End = stream.HTTP11, status, 12*time.Millisecond
	x.Cluster = &config.Cluster{Name: "outbound|80||shop", Service: config.ServiceLabels{Host: "shop.ns.svc", Name: "shop", Namespace: "ns"}}
	x.ClusterName = x.Cluster.Name
	x.UpPeer = &stream.Peer{Workload: "shop-v2", Namespace: "ns", App: "shop", CanonicalService: "shop"}
	x.Upstream.TLS = &stream.TLS{PeerURISANs: []string{"spiffe://c/ns/ns/sa/shop"}, LocalURISANs: []string{"spiffe://c/ns/a/sa/a"}}
	x.Received, x.Sent = 1, 2000
	return x
}

// stable leaves out what differs from run to run.
func stable(text []byte) (kept []byte) {
	for line := range bytes.Lines(text) {
		if !regexp.MustCompile(`server[._](memory|concurrency)`).Match(line) {
			kept = append(kept, line...)
		}
	}
	return kept
}

func TestGoldenMetrics(t *testing.T) {
	s := example()
	golden(t, "metrics.txt", stable(metricsText(t, s)))
}

func TestGoldenStats(t *testing.T) {
	s := example()
	var text, used, cumulative, disjoint, detailed bytes.Buffer
	for out, q := range map[*bytes.Buffer]Query{
		&text: {}, &used: {UsedOnly: true}, &cumulative: {UsedOnly: true, Type: Histograms, Buckets: BucketsCumulative},
		&disjoint: {UsedOnly: true, Type: Histograms, Buckets: BucketsDisjoint},
		&detailed: {UsedOnly: true, Type: Histograms, Buckets: BucketsDetailed},
	} {
		if err := s.WriteText(out, Process{}, q); err != nil {
			t.Fatal(err)
		}
	}
	golden(t, "stats.txt", stable(text.Bytes()))
	golden(t, "stats_used.txt", stable(used.Bytes()))
	golden(t, "stats_buckets.txt", slices.Concat(cumulative.Bytes(), disjoint.Bytes(), detailed.Bytes()))
	var asJSON bytes.Buffer
	for _, b := range []Buckets{BucketsDefault, BucketsCumulative, BucketsDetailed} {
		q := Query{UsedOnly: true, Filter: regexp.MustCompile(`^cluster\.outbound|version`), Buckets: b}
		if err := s.WriteJSON(&asJSON, Process{}, q); err != nil {
			t.Fatal(err)
		}
		asJSON.WriteByte('\n')
	}
	for line := range bytes.Lines(asJSON.Bytes()) {
		if !json.Valid(line) {
			t.Errorf("not JSON: %s", line)
		}
	}
	golden(t, "stats.json", asJSON.Bytes())
}

// TestRealParser: Prometheus's own parser reads what is written, whatever is asked for, and no family comes twice.
func TestRealParser(t *testing.T) {
	s := example()
	s.Cluster("quote\" back\\ line\n and \xff")
	for name, q := range map[string]Query{
		"all": {}, "used": {UsedOnly: true}, "texts": {TextReadouts: true}, "summary": {Buckets: BucketsSummary},
		"filter": {Filter: regexp.MustCompile("upstream_rq")}, "none": {Filter: regexp.MustCompile("^nothing$")},
	} {
		var b bytes.Buffer
		if err := s.Prometheus(&b, Process{}, q); err != nil {
			t.Fatal(err)
		}
		parser := expfmt.NewTextParser(model.LegacyValidation)
		families, err := parser.TextToMetricFamilies(bytes.NewReader(b.Bytes()))
		if err != nil {
			t.Errorf("%s: %v in\n%s", name, err, b.String())
		}
		if heads := bytes.Count(b.Bytes(), []byte("# TYPE")); heads != len(families) {
			t.Errorf("%s: %d families have %d heads", name, len(families), heads)
		}
		checkSeries(t, families)
	}
}

// checkSeries looks for series that are there twice.
func checkSeries(t *testing.T, families map[string]*dto.MetricFamily) {
	t.Helper()
	for name, f := range families {
		seen := map[string]bool{}
		for _, m := range f.Metric {
			key := ""
			for _, l := range m.Label {
				key += l.GetName() + "=" + l.GetValue() + ";"
			}
			if seen[key] {
				t.Errorf("%s{%s} is there twice", name, key)
			}
			seen[key] = true
		}
	}
}

// TestEveryCounterHasItsPlace: each Counter, Gauge and Histogram of each struct has a name, and no two the same.
func TestEveryCounterHasItsPlace(t *testing.T) {
	for _, c := range classes {
		seen := map[string]bool{}
		for _, p := range c.places {
			if p.name == "" || seen[p.name] {
				t.Errorf("%s: %q twice or empty", c.prefix, p.name)
			}
			seen[p.name] = true
		}
	}
	for _, object := range []reflect.Type{
		reflect.TypeFor[Cluster](), reflect.TypeFor[ClusterShard](), reflect.TypeFor[HTTP](), reflect.TypeFor[HTTPShard](),
		reflect.TypeFor[Listener](), reflect.TypeFor[TCPPrefix](), reflect.TypeFor[Server](), reflect.TypeFor[TLSStats](),
		reflect.TypeFor[HTTP2Stats](), reflect.TypeFor[OutlierStats](), reflect.TypeFor[BreakerStats](), reflect.TypeFor[HealthStats](),
	} {
		for f := range object.Fields() {
			_, tagged := f.Tag.Lookup("stat")
			if counts := f.Type == counterType || f.Type == gaugeType || f.Type == histogramType; counts && !tagged {
				t.Errorf("%s.%s has no name", object, f.Name)
			}
		}
	}
}

func TestReset(t *testing.T) {
	s := example()
	s.ResetCounters()
	var b bytes.Buffer
	if err := s.WriteText(&b, Process{}, Query{UsedOnly: true, Type: Counters}); err != nil || b.Len() > 0 {
		t.Errorf("%v, left:\n%s", err, b.String())
	}
	if s.Listener("[::]:15001").CxActive.Load() != 1 {
		t.Error("a gauge was reset")
	}
}

func TestOnRead(t *testing.T) {
	s := NewStore(0, Labels{})
	n := int64(0)
	s.OnRead(func() { n++; s.Gauge("cluster_manager.warming_clusters").Store(n) })
	q := Query{Filter: regexp.MustCompile("warming")}
	var out bytes.Buffer
	for _, write := range []func(io.Writer, Process, Query) error{s.Prometheus, s.WriteText, s.WriteJSON} {
		if err := write(&out, Process{}, q); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"envoy_cluster_manager_warming_clusters 1\n", "cluster_manager.warming_clusters: 2\n", `"value":3`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in %s", want, out.String())
		}
	}
}

func TestForget(t *testing.T) {
	s := example()
	gone := s.Cluster("other")
	s.ForgetCluster(gone)
	if bytes.Contains(metricsText(t, s), []byte(`"other"`)) {
		t.Error("a forgotten cluster is told")
	}
	again := s.Cluster("other")
	s.ForgetCluster(gone) // is gone already; its successor stays
	if again == gone || s.Cluster("other") != again {
		t.Error("the successor is gone too")
	}
}

func TestMatcher(t *testing.T) {
	names := func(m *Matcher) (list []string) {
		s := example()
		s.SetMatcher(m)
		s.lines(Process{}, Query{UsedOnly: true}, func(l line) { list = append(list, l.name) })
		return list
	}
	prefix := func(p string) []config.StringMatch {
		return []config.StringMatch{{Kind: config.StringPrefix, Value: p}}
	}
	istio := false
	for _, name := range names(&Matcher{Include: prefix("cluster.")}) {
		istio = istio || strings.HasPrefix(name, "istiocustom.")
		if !strings.HasPrefix(name, "cluster.") && !strings.HasPrefix(name, "istiocustom.") {
			t.Errorf("%s isn't included", name)
		}
	}
	if !istio {
		t.Error("an inclusion list of Envoy's names leaves Istio's metrics out")
	}
	if all, without := len(names(nil)), len(names(&Matcher{Exclude: prefix("cluster.")})); without == 0 || without >= all {
		t.Errorf("%d of %d are left", without, all)
	}
	if list := names(&Matcher{None: true}); len(list) > 0 {
		t.Errorf("none wanted, got %v", list)
	}
}

// TestTags: each sample has the fixed tags, beside its own labels or alone.
func TestTags(t *testing.T) {
	s := example()
	s.SetTags("mesh", `a"b`)
	var b strings.Builder
	if err := s.Prometheus(&b, Process{}, Query{}); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(b.String()) {
		if !strings.HasPrefix(line, "#") && !strings.Contains(line, `,mesh="a\"b"} `) && !strings.Contains(line, `{mesh="a\"b"} `) {
			t.Errorf("without the tag: %s", line)
		}
	}
}

// TestBuckets compares with a search the slow way; TestQuantile with sorted values.
func TestBuckets(t *testing.T) {
	for range 10000 {
		v := rand.Uint64N(1 << (1 + rand.UintN(30)))
		want := 0
		for want < len(bounds) && bounds[want] < float64(v) {
			want++
		}
		if got := bucketOf(v); got != want {
			t.Fatalf("%d is in bucket %d, want %d", v, got, want)
		}
	}
}

func TestQuantile(t *testing.T) {
	for range 200 {
		var h Histogram
		var values []float64
		for range 1 + rand.IntN(300) {
			v := rand.Uint64N(1 << (1 + rand.UintN(20)))
			h.Record(v)
			values = append(values, float64(v))
		}
		slices.Sort(values)
		var d distribution
		d.add(&h)
		for _, q := range quantiles {
			exact := values[max(int(math.Ceil(q*float64(len(values))))-1, 0)]
			low, high := bucketEnds(bucketOf(uint64(exact)))
			if got := d.quantile(q); got < low || got > high {
				t.Fatalf("P%v is %v, the value %v lies between %v and %v", q*100, got, exact, low, high)
			}
		}
	}
}

// TestSeriesCache: the series a cache gives is always the one its labels say, found the slow way.
func TestSeriesCache(t *testing.T) {
	s := NewStore(0, Labels{Workload: "me"})
	i := s.Istio(&config.IstioStats{Metrics: []config.MetricOverride{{Labels: map[string]*config.Format{"path": {Source: "request.url_path"}}}}})
	base := []*stream.Exchange{request(200), request(503), request(200), request(404)}
	base[2].UpPeer = &stream.Peer{Workload: "x"}
	base[3].Cluster, base[3].ClusterName, base[3].Request.Authority = nil, "", "some.host"
	buffer := []byte("/one /two ")
	var cache IstioCache
	for range 2000 {
		x := base[rand.IntN(len(base))]
		copy(buffer, "/one")
		if rand.IntN(2) == 0 {
			copy(buffer, "/two")
		}
		x.Request.Path = string(buffer[:4])
		x.GRPC, x.GRPCStatus = rand.IntN(2) == 0, rand.IntN(3)
		got := i.Series(x, &cache)
		if slow := i.Series(x, &IstioCache{}); got != slow {
			t.Fatalf("cached %v, want %v", got.key, slow.key)
		}
		if got.key.code != x.Response.Status || !strings.HasPrefix(got.key.extra, x.Request.Path) {
			t.Fatalf("%v has the series %v", x, got.key)
		}
	}
}

func TestSeriesAreBounded(t *testing.T) {
	s := NewStore(0, Labels{})
	i := s.Istio(nil)
	var last *IstioSeries
	for n := range maxIstioSeries + 10 {
		x := request(200)
		x.UpPeer = &stream.Peer{Workload: strconv.Itoa(n)}
		last = i.Series(x, &IstioCache{})
	}
	if len(s.istio.series) != maxIstioSeries || !last.key.other {
		t.Errorf("%d series; the last: %v", len(s.istio.series), last.key)
	}
	last.Request(request(200))
	labels := strings.Join(last.key.labels("requests_total"), " ")
	if strings.Count(labels, unknown) != 22 {
		t.Errorf("the last one's labels: %s", labels)
	}
}

func TestOverrides(t *testing.T) {
	s := NewStore(0, Labels{Workload: "me"})
	i := s.Istio(&config.IstioStats{Metrics: []config.MetricOverride{
		{Remove: []string{"response_code", "source_workload"}, Labels: map[string]*config.Format{
			"method": {Source: "request.method"}, "reporter": {Source: "'us'"}, "broken": {Source: "no.such.thing"}}},
		{Name: "request_bytes", Drop: true},
		{Name: "response_bytes", Remove: []string{"response_flags"}},
	}})
	for _, status := range []int{200, 404} {
		x := request(status)
		x.Request.Method = "PUT"
		x.Flags = map[int]stream.Flags{404: stream.NoRouteFound}[status]
		i.Series(x, &IstioCache{}).Request(x)
	}
	var b bytes.Buffer
	if err := s.Prometheus(&b, Process{}, Query{Filter: regexp.MustCompile("^istiocustom")}); err != nil {
		t.Fatal(err)
	}
	golden(t, "overrides.txt", b.Bytes())
	if same := s.Istio(&config.IstioStats{Metrics: []config.MetricOverride{{Name: "request_bytes", Drop: true}}}); same.overrides == i.overrides {
		t.Error("different overrides are one")
	}
}

func BenchmarkCountRequest(b *testing.B) {
	s := NewStore(0, Labels{Workload: "shop"})
	c, h, i := s.Cluster("c").Shard(3), s.HTTP("h").Shard(3), s.Istio(nil)
	x := request(200)
	var cache IstioCache
	b.ReportAllocs()
	for b.Loop() {
		h.RqTotal.Add(1)
		h.RqActive.Add(1)
		c.RqTotal.Add(1)
		c.RqActive.Add(1)
		c.Response(200, x.End)
		c.RqActive.Add(-1)
		h.Response(200, x.End)
		h.RqActive.Add(-1)
		i.Series(x, &cache).Request(x)
	}
}

func TestCountingCostsNoMemory(t *testing.T) {
	s := NewStore(0, Labels{Workload: "shop"})
	c, i, x := s.Cluster("c"), s.Istio(nil), request(200)
	var cache IstioCache
	if n := testing.AllocsPerRun(100, func() {
		c.Shard(3).Response(200, x.End)
		i.Series(x, &cache).Request(x)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkPrometheus2000(b *testing.B) {
	s := NewStore(0, Labels{})
	for n := range 2000 {
		c := s.Cluster("outbound|80||service-" + strconv.Itoa(n) + ".namespace.svc.cluster.local")
		c.Shard(0).RqTotal.Add(1)
		c.Shard(0).Response(200, time.Millisecond)
	}
	var n countingWriter
	b.ReportAllocs()
	for b.Loop() {
		n = 0
		if err := s.Prometheus(&n, Process{}, Query{}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n), "bytes/scrape")
}

type countingWriter int

func (w *countingWriter) Write(p []byte) (int, error) {
	*w += countingWriter(len(p))
	return len(p), nil
}

var _ io.Writer = new(countingWriter)

// TestSeriesKeepNoViews: labels are copies; the buffers requests are parsed in are used again.
func TestSeriesKeepNoViews(t *testing.T) {
	i := NewStore(0, Labels{}).Istio(nil)
	buffer := []byte("some.host")
	x := request(200)
	x.Cluster, x.Request.Authority = nil, unsafe.String(&buffer[0], len(buffer))
	x.ClusterName = x.Request.Authority
	var cache IstioCache
	series := i.Series(x, &cache)
	copy(buffer, "overwrite")
	if labels := strings.Join(series.key.labels("requests_total"), " "); !strings.Contains(labels, "destination_service some.host") {
		t.Errorf("labels %s", labels)
	}
	if i.Series(x, &cache) == series {
		t.Error("another host has the same series")
	}
}

func metricsText(t *testing.T, s *Store) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := s.Prometheus(&b, Process{State: Live}, Query{}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
