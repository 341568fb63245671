package ratelimit

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	ratelimitv3 "github.com/envoyproxy/go-control-plane/envoy/service/ratelimit/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/filter"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
	"github.com/pillion-mesh/pillion/internal/proxy/telemetry"
)

const (
	okCode   = ratelimitv3.RateLimitResponse_OK
	overCode = ratelimitv3.RateLimitResponse_OVER_LIMIT
)

// service is one that gives always the same answer; nil: it can't be reached.
type service struct {
	answer proto.Message
	raw    []byte // instead of answer
	asked  []*ratelimitv3.RateLimitRequest
	call   *filter.Call
}

func (s *service) send(_ context.Context, c *filter.Call) (*filter.Answer, error) {
	q := &ratelimitv3.RateLimitRequest{}
	if err := proto.Unmarshal(c.Body[5:], q); err != nil {
		return nil, err
	}
	s.asked, s.call = append(s.asked, q), c
	body := s.raw
	if s.answer != nil {
		body, _ = proto.Marshal(s.answer)
	} else if body == nil {
		return nil, errors.New("gone")
	}
	a := &filter.Answer{Status: 200, Body: append([]byte{0, 0, 0, 0, 0}, body...)}
	binary.BigEndian.PutUint32(a.Body[1:], uint32(len(body)))
	a.Trailers.Add("grpc-status", "0")
	return a, nil
}

// rig is a filter with its service and counters.
type rig struct {
	*service
	filter filter.Filter
	store  *telemetry.Store
}

func newRig(t *testing.T, c config.RateLimit, s *service) *rig {
	t.Helper()
	r := &rig{service: s, store: telemetry.NewStore(0, telemetry.Labels{})}
	f, err := New(&c, filter.Deps{Call: s.send, Cluster: r.store.Cluster, Self: filter.Self{Service: "me"}})
	if err != nil {
		t.Fatal(err)
	}
	r.filter = f
	return r
}

// counted are the ratelimit statistics that aren't zero.
func (r *rig) counted(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	if err := r.store.WriteText(&b, telemetry.Process{}, telemetry.Query{UsedOnly: true}); err != nil {
		t.Fatal(err)
	}
	var list []string
	for line := range strings.Lines(b.String()) {
		if strings.HasPrefix(line, "cluster.c.ratelimit.") || strings.HasPrefix(line, "cluster.c.upstream_rq_429") {
			list = append(list, strings.TrimPrefix(strings.TrimSpace(line), "cluster.c."))
		}
	}
	return strings.Join(list, ", ")
}

func key(value string) config.RateLimitActions {
	return config.RateLimitActions{Actions: []config.RateLimitAction{{Kind: config.RateGenericKey, Key: "k", Value: value}}}
}

func request(limits ...config.RateLimitActions) *stream.Exchange {
	return &stream.Exchange{
		ClusterName: "c", Cluster: &config.Cluster{}, Conn: &stream.Conn{Remote: netip.MustParseAddrPort("10.0.0.1:1")},
		Route: &config.Route{Forward: &config.Forward{RateLimits: limits}},
	}
}

func fieldsOf(r *filter.Reply) (list []string) {
	for _, f := range r.Fields {
		list = append(list, f.Name+": "+f.Value)
	}
	return list
}

func TestQuestion(t *testing.T) {
	hits, limit := uint64(3), key("limited")
	limit.Limit = &config.MetadataKey{Filter: "f", Path: []string{"l"}}
	refund := key("refunded")
	refund.Hits, refund.Refund = &hits, true
	r := newRig(t, config.RateLimit{Domain: "d", GRPCCluster: "rls", Authority: "a", AddHeaders: [][2]string{{"x-i", "1"}}, Timeout: time.Second}, &service{answer: &ratelimitv3.RateLimitResponse{OverallCode: okCode}})
	x := request(key("plain"), limit, refund, key(""), config.RateLimitActions{Actions: []config.RateLimitAction{{Kind: config.RateRequestHeader, Header: "x-none"}}})
	x.Metadata = map[string]map[string]any{"f": {"l": map[string]any{"requests_per_unit": 42.0, "unit": "HOUR"}}}
	if reply := r.filter.Request(context.Background(), x, nil); reply != nil {
		t.Fatalf("%+v", reply)
	}
	q := r.asked[0]
	want := &ratelimitv3.RateLimitRequest{}
	if err := proto.Unmarshal(nil, want); err != nil || q.GetDomain() != "d" || q.GetHitsAddend() != 0 || len(q.GetDescriptors()) != 4 {
		t.Fatalf("asked %v", q)
	}
	var got []string
	for _, d := range q.GetDescriptors() {
		line := d.GetEntries()[0].GetKey() + "=" + d.GetEntries()[0].GetValue()
		if l := d.GetLimit(); l != nil {
			line += fmt.Sprint(" ", l.GetRequestsPerUnit(), l.GetUnit())
		}
		if h := d.GetHitsAddend(); h != nil {
			line += fmt.Sprint(" hits ", h.GetValue(), d.GetIsNegativeHits())
		}
		got = append(got, line)
	}
	if text := strings.Join(got, "; "); text != "k=plain; k=limited 42 HOUR; k=refunded hits 3 true; k=" {
		t.Error(text)
	}
	if c := r.call; c.Cluster != "rls" || c.Host != "a" || c.Path != method || c.Timeout != time.Second || c.MostAnswer != mostAnswer || !c.HTTP2 || !slices.Contains(c.Fields, stream.Field{Name: "x-i", Value: "1"}) {
		t.Errorf("called %+v", c)
	}
}

func TestLimitOfMetadata(t *testing.T) {
	for i, c := range []struct {
		value any
		want  *override
	}{
		{map[string]any{"requests_per_unit": 1.0, "unit": "DAY"}, &override{1, 4}}, {map[string]any{"requests_per_unit": 1.0, "unit": "FORTNIGHT"}, nil},
		{map[string]any{"requests_per_unit": -1.0, "unit": "DAY"}, nil}, {map[string]any{"requests_per_unit": math.NaN(), "unit": "DAY"}, nil},
		{map[string]any{"requests_per_unit": 1e10, "unit": "DAY"}, nil}, {map[string]any{"requests_per_unit": "1", "unit": "DAY"}, nil}, {"x", nil}, {nil, nil},
	} {
		x := request()
		x.Metadata = map[string]map[string]any{"f": {"l": c.value}}
		got := overrideOf(&config.MetadataKey{Filter: "f", Path: []string{"l"}}, x)
		if (got == nil) != (c.want == nil) || got != nil && *got != *c.want {
			t.Errorf("%d: %+v", i, got)
		}
	}
}

func TestVerdicts(t *testing.T) {
	over, fine := &ratelimitv3.RateLimitResponse{OverallCode: overCode, RawBody: []byte("slower")}, &ratelimitv3.RateLimitResponse{OverallCode: okCode}
	never := &config.Fraction{}
	for name, c := range map[string]struct {
		config  config.RateLimit
		service service
		want    string // status, gRPC status, details, flags, body, fields
		counted string
	}{
		"fine":         {config.RateLimit{}, service{answer: fine}, "passes", "ratelimit.ok: 1"},
		"over":         {config.RateLimit{}, service{answer: over}, "429 0 request_rate_limited RL slower [x-envoy-ratelimited: true]", "upstream_rq_429: 1, ratelimit.over_limit: 1"},
		"as resource":  {config.RateLimit{AsResource: true, NoLimitedHeader: true}, service{answer: over}, "429 8 request_rate_limited RL slower []", "upstream_rq_429: 1, ratelimit.over_limit: 1"},
		"as told":      {config.RateLimit{Status: 503, StatPrefix: "p", ResponseHeaders: []config.HeaderAdd{{Name: "x-l", Value: &config.Format{Source: "%PROTOCOL%!"}}}}, service{answer: over}, "503 0 request_rate_limited RL slower [x-envoy-ratelimited: true x-l: !]", "ratelimit.p.over_limit: 1"},
		"not enforced": {config.RateLimit{Enforced: never}, service{answer: over}, "passes x-envoy-ratelimited", "upstream_rq_429: 1, ratelimit.over_limit: 1"},
		"not enabled":  {config.RateLimit{Enabled: never}, service{answer: over}, "passes", ""},
		"gone":         {config.RateLimit{}, service{}, "passes", "ratelimit.error: 1, ratelimit.failure_mode_allowed: 1"},
		"gone, deny":   {config.RateLimit{DenyOnFailure: true}, service{}, "500 0 rate_limiter_error RLSE  []", "ratelimit.error: 1"},
		"gone, status": {config.RateLimit{DenyOnFailure: true, StatusOnError: 503, AsResource: true}, service{}, "503 8 rate_limiter_error RLSE  []", "ratelimit.error: 1"},
		"gone, never":  {config.RateLimit{DenyOnFailure: true, DenyFraction: never}, service{}, "passes", "ratelimit.error: 1, ratelimit.failure_mode_allowed: 1"},
		"gone, always": {config.RateLimit{DenyFraction: &config.Fraction{PerMillion: 1e6}}, service{}, "500 0 rate_limiter_error RLSE  []", "ratelimit.error: 1"},
		"garbage":      {config.RateLimit{DenyOnFailure: true}, service{raw: []byte{0xff}}, "500 0 rate_limiter_error RLSE  []", "ratelimit.error: 1"},
		"no verdict":   {config.RateLimit{DenyOnFailure: true}, service{raw: []byte{}}, "500 0 rate_limiter_error RLSE  []", "ratelimit.error: 1"},
	} {
		t.Run(name, func(t *testing.T) {
			r, x := newRig(t, c.config, &c.service), request(key("v"))
			got := "passes"
			if reply := r.filter.Request(context.Background(), x, nil); reply != nil {
				got = fmt.Sprint(reply.Status, " ", reply.GRPCStatus, " ", reply.Details, " ", reply.Flags, " ", reply.Body, " ", fieldsOf(reply))
			} else {
				r.filter.(filter.Responder).Response(x)
				for i := range x.Response.Fields.Len() {
					got += " " + x.Response.Fields.At(i).Name
				}
			}
			if got != c.want || r.counted(t) != c.counted {
				t.Errorf("%s, counted %s", got, r.counted(t))
			}
		})
	}
}

// TestNotAsked: requests the filter isn't for go by.
func TestNotAsked(t *testing.T) {
	noCluster := request(key("v"))
	noCluster.Cluster = nil
	internal := request(key("v"))
	internal.Request.Fields.Add("x-envoy-internal", "true")
	disabled := key("v")
	disabled.Disable = "k"
	for name, c := range map[string]struct {
		config config.RateLimit
		x      *stream.Exchange
		asked  bool
	}{
		"asked":                {config.RateLimit{}, request(key("v")), true},
		"no limits":            {config.RateLimit{}, request(), false},
		"no cluster":           {config.RateLimit{}, noCluster, false},
		"another stage":        {config.RateLimit{Stage: 1}, request(key("v")), false},
		"own limits":           {config.RateLimit{Stage: 1, RateLimits: []config.RateLimitActions{key("w")}}, request(), true},
		"internal of internal": {config.RateLimit{Requests: config.RateLimitInternal}, internal, true},
		"internal of external": {config.RateLimit{Requests: config.RateLimitExternal}, internal, false},
		"external of internal": {config.RateLimit{Requests: config.RateLimitInternal}, request(key("v")), false},
		"external of external": {config.RateLimit{Requests: config.RateLimitExternal}, request(key("v")), true},
		"disabled by runtime":  {config.RateLimit{}, request(disabled), false},
	} {
		s := &service{answer: &ratelimitv3.RateLimitResponse{OverallCode: overCode}}
		f, err := New(&c.config, filter.Deps{Call: s.send, Runtime: func(key string) (uint32, bool) { return 0, key == "ratelimit.k.http_filter_enabled" }})
		if err != nil {
			t.Fatal(err)
		}
		if reply := f.Request(context.Background(), c.x, nil); (reply != nil) != c.asked || len(s.asked) > 0 != c.asked {
			t.Errorf("%s: %+v", name, reply)
		}
	}
}

// TestUnbuiltActionsAreFailures: a limit nobody can make isn't taken for none.
func TestUnbuiltActionsAreFailures(t *testing.T) {
	s := &service{answer: &ratelimitv3.RateLimitResponse{OverallCode: okCode}}
	x := request(key("v"), config.RateLimitActions{Unbuilt: true})
	if reply := newRig(t, config.RateLimit{DenyOnFailure: true}, s).filter.Request(context.Background(), x, nil); reply == nil || reply.Flags != stream.RateLimitServiceError {
		t.Errorf("%+v", reply)
	}
	r := newRig(t, config.RateLimit{}, s)
	if reply := r.filter.Request(context.Background(), x, nil); reply != nil || r.counted(t) != "ratelimit.error: 1, ratelimit.failure_mode_allowed: 1" {
		t.Errorf("%+v, %s", reply, r.counted(t))
	}
}

func TestOverride(t *testing.T) {
	host := func(x *stream.Exchange) *stream.Exchange {
		x.VirtualHost = &config.VirtualHost{RateLimits: []config.RateLimitActions{key("host")}}
		return x
	}
	for i, c := range []struct {
		override *config.RateLimitRoute
		x        *stream.Exchange
		want     string
	}{
		{&config.RateLimitRoute{}, host(request(key("route"))), "d route"},
		{&config.RateLimitRoute{}, host(request()), "d host"},
		{&config.RateLimitRoute{VirtualHost: config.HostLimitsToo}, host(request(key("route"))), "d route host"},
		{&config.RateLimitRoute{VirtualHost: config.HostLimitsNever}, host(request()), ""},
		{&config.RateLimitRoute{Domain: "e", RateLimits: []config.RateLimitActions{key("own")}}, host(request(key("route"))), "e own"},
	} {
		r := newRig(t, config.RateLimit{Domain: "d"}, &service{answer: &ratelimitv3.RateLimitResponse{OverallCode: okCode}})
		f, err := r.filter.(filter.Overrider).Override(c.override)
		if err != nil {
			t.Fatal(err)
		}
		f.Request(context.Background(), c.x, nil)
		got := ""
		for _, q := range r.asked {
			got += q.GetDomain()
			for _, d := range q.GetDescriptors() {
				got += " " + d.GetEntries()[0].GetValue()
			}
		}
		if got != c.want {
			t.Errorf("%d: %q, want %q", i, got, c.want)
		}
	}
	if _, err := newRig(t, config.RateLimit{}, &service{}).filter.(filter.Overrider).Override(7); err == nil {
		t.Error("anything overrides")
	}
}

// TestServiceHeaders: the service adds fields to both heads, but none that would change their framing.
func TestServiceHeaders(t *testing.T) {
	list := []*corev3.HeaderValue{{Key: "X-S", Value: "1"}, {Key: "x-r", RawValue: []byte("2")}}
	for _, name := range []string{"", "host", "Content-Length", "transfer-encoding", "connection", ":path", ":status", "a b", "a:b", "x\r\ny", "upgrade", "te "} {
		list = append(list, &corev3.HeaderValue{Key: name, Value: "3"})
	}
	list = append(list, &corev3.HeaderValue{Key: "x-t", Value: "a\r\nb: c"}, &corev3.HeaderValue{Key: "x-t", RawValue: []byte("a\x00")})
	metadata, _ := structpb.NewStruct(map[string]any{"left": 4.0})
	a := &ratelimitv3.RateLimitResponse{OverallCode: okCode, ResponseHeadersToAdd: list, RequestHeadersToAdd: list, DynamicMetadata: metadata}
	r, x := newRig(t, config.RateLimit{Namespace: "n"}, &service{answer: a}), request(key("v"))
	if reply := r.filter.Request(context.Background(), x, nil); reply != nil {
		t.Fatalf("%+v", reply)
	}
	r.filter.(filter.Responder).Response(x)
	for _, fields := range []*stream.Fields{&x.Request.Fields, &x.Response.Fields} {
		if fields.Len() != 2 || fields.Value("x-s") != "1" || fields.Value("x-r") != "2" {
			t.Errorf("%+v", fields)
		}
	}
	if got := x.Metadata["n"]["left"]; got != 4.0 {
		t.Errorf("%v", x.Metadata)
	}
	for range mostParts {
		a.ResponseHeadersToAdd = append(a.ResponseHeadersToAdd, list[0])
	}
	if reply := newRig(t, config.RateLimit{DenyOnFailure: true}, &service{answer: a}).filter.Request(context.Background(), request(key("v")), nil); reply == nil || reply.Status != 500 {
		t.Errorf("any number of fields is taken: %+v", reply)
	}
}

func TestRateHeaders(t *testing.T) {
	limit := func(per uint32, unit ratelimitv3.RateLimitResponse_RateLimit_Unit, name string, times uint32) *ratelimitv3.RateLimitResponse_RateLimit {
		l := &ratelimitv3.RateLimitResponse_RateLimit{RequestsPerUnit: per, Unit: unit, Name: name}
		if times > 0 {
			l.UnitMultiplier = wrapperspb.UInt32(times)
		}
		return l
	}
	type status = ratelimitv3.RateLimitResponse_DescriptorStatus
	a := &ratelimitv3.RateLimitResponse{OverallCode: overCode, Statuses: []*status{
		{Code: okCode},
		{Code: okCode, CurrentLimit: limit(10, ratelimitv3.RateLimitResponse_RateLimit_SECOND, "", 0), LimitRemaining: 5, DurationUntilReset: durationpb.New(time.Second)},
		{Code: overCode, CurrentLimit: limit(9, ratelimitv3.RateLimitResponse_RateLimit_MINUTE, "per\"ip", 2), LimitRemaining: 2, DurationUntilReset: durationpb.New(30 * time.Second)},
		{Code: overCode, CurrentLimit: limit(8, ratelimitv3.RateLimitResponse_RateLimit_UNKNOWN, "", 0), LimitRemaining: 7, DurationUntilReset: durationpb.New(-time.Second)},
	}}
	r := newRig(t, config.RateLimit{RateHeaders: true, RetryAfter: true, NoLimitedHeader: true}, &service{answer: a})
	reply := r.filter.Request(context.Background(), request(key("v")), nil)
	want := `[x-ratelimit-limit: 9, 10;w=1, 9;w=120;name="per_ip" x-ratelimit-remaining: 2 x-ratelimit-reset: 30 retry-after: 30]`
	if got := fmt.Sprint(fieldsOf(reply)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	a.ResponseHeadersToAdd = []*corev3.HeaderValue{{Key: "Retry-After", Value: "9"}}
	if got := fieldsOf(r.filter.Request(context.Background(), request(key("v")), nil)); !slices.Contains(got, "retry-after: 9") || slices.Contains(got, "retry-after: 30") {
		t.Error(got)
	}
	a.Statuses = nil
	a.ResponseHeadersToAdd = nil
	if got := fieldsOf(r.filter.Request(context.Background(), request(key("v")), nil)); len(got) != 0 {
		t.Error(got)
	}
}

func TestTraceAsksNobody(t *testing.T) {
	s, tr := &service{}, &stream.Trace{}
	r := newRig(t, config.RateLimit{GRPCCluster: "rls", DenyOnFailure: true}, s)
	if reply := r.filter.Request(context.Background(), request(key("v")), tr); reply != nil || len(s.asked) > 0 || len(tr.Steps) != 1 || tr.Steps[0].Reason != "ratelimit: would ask rls about 1 descriptors" {
		t.Errorf("%+v %v", reply, tr.Steps)
	}
}

// FuzzAnswer: what a service says ends in an error or in fields that can be written.
func FuzzAnswer(f *testing.F) {
	whole, _ := proto.Marshal(&ratelimitv3.RateLimitResponse{
		OverallCode: overCode, ResponseHeadersToAdd: []*corev3.HeaderValue{{Key: "a", Value: "b"}}, RequestHeadersToAdd: []*corev3.HeaderValue{{Key: "c", RawValue: []byte("d")}},
		Statuses: []*ratelimitv3.RateLimitResponse_DescriptorStatus{{Code: overCode, CurrentLimit: &ratelimitv3.RateLimitResponse_RateLimit{Name: "n", UnitMultiplier: wrapperspb.UInt32(2)}, DurationUntilReset: durationpb.New(1)}},
	})
	f.Add(whole)
	f.Add([]byte{8, 1})
	f.Fuzz(func(t *testing.T, message []byte) {
		a, err := readAnswer(message)
		if err != nil {
			return
		}
		for _, each := range append(a.request, a.response...) {
			if !filter.Writable(each) {
				t.Errorf("%+v", each)
			}
		}
		l := &limit{config: &config.RateLimit{RateHeaders: true}}
		for _, each := range l.told(a) {
			if strings.ContainsAny(each.Value, "\r\n\x00") {
				t.Errorf("%+v", each)
			}
		}
	})
}
