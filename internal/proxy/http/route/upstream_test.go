package route

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/http/codec"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

const ms = time.Millisecond

func routed(f *config.Forward, fields ...string) *stream.Exchange {
	x := request("GET h /p?q=1", fields...)
	x.Route = &config.Route{Forward: f}
	x.VirtualHost = &config.VirtualHost{}
	return x
}

func TestTimeouts(t *testing.T) {
	second, none := time.Second, time.Duration(0)
	for i, c := range []struct {
		f      config.Forward
		grpc   bool
		fields []string
		want   Timeouts
		sent   string // expected-rq-timeout-ms after 100ms
	}{
		{config.Forward{Timeout: 15 * second}, false, nil, Timeouts{Route: 15 * second}, "14900"},
		{config.Forward{}, false, nil, Timeouts{}, ""},
		{config.Forward{Timeout: second}, false, []string{"x-envoy-upstream-rq-timeout-ms: 250"}, Timeouts{Route: 250 * ms}, "150"},
		{config.Forward{Timeout: second}, false, []string{"x-envoy-upstream-rq-timeout-ms: 50"}, Timeouts{Route: 50 * ms}, "1"},
		{config.Forward{Timeout: second}, false, []string{"x-envoy-upstream-rq-timeout-ms: 0"}, Timeouts{}, ""},
		{config.Forward{Timeout: second}, false, []string{"x-envoy-upstream-rq-timeout-ms: 1s"}, Timeouts{Route: second}, "900"},
		{config.Forward{Timeout: second, Retry: &config.RetryPolicy{PerTryTimeout: 300 * ms}}, false, nil, Timeouts{second, 300 * ms}, "300"},
		{config.Forward{Timeout: second, Retry: &config.RetryPolicy{PerTryTimeout: second}}, false, nil, Timeouts{Route: second}, "900"},
		{config.Forward{Timeout: second}, false, []string{"x-envoy-upstream-rq-per-try-timeout-ms: 5"}, Timeouts{second, 5 * ms}, "5"},
		{config.Forward{Timeout: second, GRPCTimeoutMax: &none}, true, []string{"grpc-timeout: 2S"}, Timeouts{Route: 2 * second}, "1900"},
		{config.Forward{Timeout: second, GRPCTimeoutMax: &none}, true, nil, Timeouts{}, ""},
		{config.Forward{GRPCTimeoutMax: &second}, true, nil, Timeouts{Route: second}, "900"},
		{config.Forward{GRPCTimeoutMax: &second}, true, []string{"grpc-timeout: 2S"}, Timeouts{Route: second}, "900"},
		{config.Forward{GRPCTimeoutMax: &second, GRPCTimeoutOff: 100 * ms}, true, []string{"grpc-timeout: 500m"}, Timeouts{Route: 400 * ms}, "300"},
		{config.Forward{GRPCTimeoutMax: &second, GRPCTimeoutOff: second}, true, []string{"grpc-timeout: 500m"}, Timeouts{Route: 500 * ms}, "400"},
		{config.Forward{Timeout: second}, true, []string{"grpc-timeout: 2S"}, Timeouts{Route: second}, "900"},
		{config.Forward{Timeout: second}, false, []string{"x-envoy-upstream-rq-timeout-ms: 18446744073709551615"}, Timeouts{Route: 1<<63 - 1 - (1<<63-1)%ms}, "9223372036854675"},
	} {
		x := routed(&c.f, c.fields...)
		x.GRPC = c.grpc
		got := TimeoutsOf(x)
		AnnounceTimeout(x, got, 100*ms, false)
		sent := x.Request.Fields.Value("x-envoy-expected-rq-timeout-ms")
		if got != c.want || sent != c.sent && i != 16 {
			t.Errorf("%d: %v, announced %s, want %v, %s", i, got, sent, c.want, c.sent)
		}
		if strings.Contains(list(&x.Request.Fields), "-timeout-ms=0") || strings.Contains(list(&x.Request.Fields), "upstream-rq") {
			t.Errorf("%d: %s", i, list(&x.Request.Fields))
		}
		if rules := c.grpc && c.f.GRPCTimeoutMax != nil && got.Route > 0; rules && x.Request.Fields.Value("grpc-timeout") != FormatGRPCTimeout(got.Route-100*ms) {
			t.Errorf("%d: %s", i, list(&x.Request.Fields))
		}
	}
}

func TestGRPCTimeout(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"1H": time.Hour, "2M": 2 * time.Minute, "3S": 3 * time.Second, "4m": 4 * ms, "5u": 5 * time.Microsecond, "6n": 6,
		"99999999H": math.MaxInt64, "": -1, "1": -1, "S": -1, "1s": -1, "-1S": -1, "123456789S": -1, "1.5S": -1,
	} {
		got, ok := ParseGRPCTimeout(text)
		if ok != (want >= 0) || ok && got != want {
			t.Errorf("%q: %v %v", text, got, ok)
		}
	}
	r := rand.New(rand.NewPCG(1, 1))
	for range 1000 {
		d := time.Duration(r.Uint64() >> (1 + r.UintN(60)))
		got, ok := ParseGRPCTimeout(FormatGRPCTimeout(d))
		if !ok || got > d || d-got > d/90_000 {
			t.Fatalf("%s became %s, %s", d, FormatGRPCTimeout(d), got)
		}
	}
}

func TestAddedHeaders(t *testing.T) {
	x := routed(&config.Forward{})
	x.VirtualHost.AttemptCount, x.VirtualHost.AttemptCountOut = true, true
	CountAttempt(x, 2)
	x.Attempts = 3
	x.Request.Fields.Set("x-request-id", "id")
	FinishResponse(&config.HTTPManager{ReturnRequestID: true}, x, 1500*time.Microsecond)
	if got := list(&x.Request.Fields) + list(&x.Response.Fields); got != "x-envoy-attempt-count=2 x-request-id=id x-envoy-upstream-service-time=1 x-envoy-attempt-count=3 x-request-id=id " {
		t.Error(got)
	}
	x = routed(&config.Forward{})
	x.Response.Fields.Add("server", "theirs")
	for i, c := range []struct {
		m    config.HTTPManager
		want string
	}{
		{config.HTTPManager{ServerHeader: config.ServerPassThrough}, "theirs"}, {config.HTTPManager{ServerHeader: config.ServerAppendIfAbsent}, "theirs"},
		{config.HTTPManager{ServerName: "istio-envoy"}, "istio-envoy"}, {config.HTTPManager{}, "envoy"},
	} {
		ServerName(&c.m, x)
		if got := x.Response.Fields.Value("server"); got != c.want {
			t.Errorf("%d: %s", i, got)
		}
	}
	FinishResponse(&config.HTTPManager{Router: config.Router{SuppressHeaders: true}}, x, 1)
	if got := list(&x.Response.Fields); got != "server=envoy " {
		t.Errorf("suppressed: %s", got)
	}
}

func response(status int, fields ...string) Outcome {
	r := &stream.Response{Status: status}
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		r.Fields.Add(name, value)
	}
	return Outcome{Response: r}
}

func failed(why codec.Reason) Outcome { return Outcome{Why: why, Started: true} }

func TestRetryConditions(t *testing.T) {
	timedOut := Outcome{TimedOut: true, Started: true}
	outcomes := map[string]Outcome{
		"500": response(500), "502": response(502), "504": response(504), "409": response(409), "404": response(404), "200": response(200),
		"limited": response(503, "x-envoy-ratelimited: true"), "header": response(200, "x-retry: 1"),
		"grpc14": response(200, "grpc-status: 14"), "grpc1": response(200, "grpc-status: 1"), "grpc4": response(200, "grpc-status: 4"),
		"grpc8": response(200, "grpc-status: 8"), "grpc13": response(200, "grpc-status: 13"), "grpc0": response(200, "grpc-status: 0"),
		"connect": failed(codec.ConnectFailure), "connecttimeout": failed(codec.ConnectTimeout), "closed": failed(codec.Termination),
		"early": {Why: codec.Termination}, "reset": failed(codec.RemoteReset), "refused": failed(codec.RefusedStream),
		"overflow": failed(codec.Overflow), "gone": failed(codec.Interrupted), "timeout": timedOut,
	}
	anyFailure := " connect connecttimeout closed early reset refused timeout "
	for on, want := range map[string]string{
		"5xx":                    "500 502 504" + anyFailure,
		"gateway-error":          "502 504" + anyFailure,
		"reset":                  anyFailure,
		"reset-before-request":   "early",
		"connect-failure":        "connect connecttimeout",
		"envoy-ratelimited":      "limited",
		"retriable-4xx":          "409",
		"refused-stream":         "refused",
		"retriable-status-codes": "404",
		"retriable-headers":      "header",
		"cancelled":              "grpc1", "deadline-exceeded": "grpc4", "internal": "grpc13",
		"resource-exhausted": "grpc8", "unavailable": "grpc14",
		"unavailable, connect-failure ,nonsense": "grpc14 connect connecttimeout",
		"":                                       "",
	} {
		r := RetryOf(routed(&config.Forward{Retry: &config.RetryPolicy{
			On: ParseRetryOn(on), Retries: 2, StatusCodes: []uint32{404}, Headers: []config.HeaderMatch{{Name: "x-retry"}},
		}}))
		for name, o := range outcomes {
			if got, expected := r.Wants(o), strings.Contains(" "+want+" ", " "+name+" "); got != expected {
				t.Errorf("%s after %s: %v", on, name, got)
			}
		}
	}
}

func TestRetryHeaders(t *testing.T) {
	x := routed(&config.Forward{}, "x-envoy-retry-on: retriable-status-codes,retriable-headers", "x-envoy-retry-grpc-on: unavailable,5xx",
		"x-envoy-max-retries: 7", "x-envoy-retriable-status-codes: 418, x,419", "x-envoy-retriable-header-names: X-Again")
	r := RetryOf(x)
	if x.Request.Fields.Len() != 0 || r.Left != 7 || r.On != config.RetryStatusCodes|config.RetryHeaders|config.RetryGRPCUnavailable {
		t.Errorf("%+v %s", r, list(&x.Request.Fields))
	}
	for _, o := range []Outcome{response(418), response(419), response(200, "x-again: "), response(200, "grpc-status: 14")} {
		if !r.Wants(o) {
			t.Errorf("%+v isn't retried", o.Response)
		}
	}
	if r.Wants(response(420)) || r.Wants(response(500)) {
		t.Error("others are retried")
	}
	if r := RetryOf(routed(&config.Forward{}, "x-envoy-retry-on: 5xx")); r.Left != 1 {
		t.Errorf("retries without a number: %d", r.Left)
	}
	if r := RetryOf(routed(&config.Forward{}, "x-envoy-max-retries: 5")); r.On != 0 || r.Left != 0 {
		t.Errorf("without a condition: %+v", r)
	}
	policy := &config.RetryPolicy{On: config.Retry5xx, Retries: 2, RequestHeaders: []config.HeaderMatch{{Name: ":method", Value: text(0, "HEAD")}}}
	if r := RetryOf(routed(&config.Forward{Retry: policy})); r.Wants(response(500)) {
		t.Error("a request without the header is retried")
	}
	x = routed(&config.Forward{})
	x.VirtualHost.Retry = &config.RetryPolicy{On: config.Retry5xx, Retries: 3}
	if r := RetryOf(x); r.Left != 3 || !r.Wants(response(500)) {
		t.Errorf("the virtual host's policy: %+v", r)
	}
}

func TestBackOff(t *testing.T) {
	longest := func(r *Retry, n uint32) (most time.Duration) {
		for i := range uint64(2000) {
			d := r.BackOff(n, Outcome{}, i*0x9e3779b97f4a7c15)
			if d < 0 {
				t.Fatalf("retry %d waits %v", n, d)
			}
			most = max(most, d)
		}
		return most
	}
	for i, c := range []struct {
		p    *config.RetryPolicy
		n    uint32
		want time.Duration
	}{
		{nil, 1, 25 * ms}, {nil, 2, 75 * ms}, {nil, 3, 175 * ms}, {nil, 4, 250 * ms}, {nil, 40, 250 * ms},
		{&config.RetryPolicy{BaseInterval: 10 * ms}, 9, 100 * ms}, {&config.RetryPolicy{BaseInterval: 10 * ms, MaxInterval: 15 * ms}, 3, 15 * ms},
		{&config.RetryPolicy{BaseInterval: 1 << 62}, 3, 1<<63 - 1},
	} {
		if got := longest(&Retry{Policy: c.p}, c.n); got > c.want || got < c.want/10*9 {
			t.Errorf("%d: up to %v, want %v", i, got, c.want)
		}
	}
	r := &Retry{Policy: &config.RetryPolicy{RateLimitedHeader: "retry-after"}}
	if got := r.BackOff(1, response(429, "retry-after: 3"), 1); got != 3*time.Second {
		t.Errorf("told to wait 3 s: %v", got)
	}
	if got := r.BackOff(1, response(429, "retry-after: later"), 1); got > 25*ms {
		t.Errorf("told nonsense: %v", got)
	}
}

func TestHash(t *testing.T) {
	ttl := func(d time.Duration) *time.Duration { return &d }
	sum := xxhash.Sum64String
	rotated := func(a, b uint64) uint64 { return a<<1 | a>>63 ^ b }
	header := func(name string) config.HashPolicy { return config.HashPolicy{Name: name} }
	for i, c := range []struct {
		policies []config.HashPolicy
		fields   []string
		want     uint64
		any      bool
	}{
		{nil, nil, 0, false},
		{[]config.HashPolicy{header("a")}, []string{"a: x"}, sum("x"), true},
		{[]config.HashPolicy{header("a")}, []string{"b: x"}, 0, false},
		{[]config.HashPolicy{header("a")}, []string{"a: y", "a: x"}, sum("xy"), true},
		{[]config.HashPolicy{header(":path")}, nil, sum("/p?q=1"), true},
		{[]config.HashPolicy{{Name: "a", Rewrite: &config.RegexRewrite{Pattern: regex(t, "b+"), Substitution: "-"}}}, []string{"a: abbc"}, sum("a-c"), true},
		{[]config.HashPolicy{header("a"), header("b")}, []string{"a: x", "b: y"}, rotated(sum("x"), sum("y")), true},
		{[]config.HashPolicy{header("a"), header("a")}, []string{"a: x"}, rotated(sum("x"), sum("x")), true},
		{[]config.HashPolicy{{Name: "a", Terminal: true}, header("b")}, []string{"a: x", "b: y"}, sum("x"), true},
		{[]config.HashPolicy{{Name: "none", Terminal: true}, header("b")}, []string{"b: y"}, sum("y"), true},
		{[]config.HashPolicy{{Kind: config.HashSourceIP}}, nil, sum("10.1.2.3"), true},
		{[]config.HashPolicy{{Kind: config.HashQuery, Name: "q"}}, nil, sum("1"), true},
		{[]config.HashPolicy{{Kind: config.HashQuery, Name: "p"}}, nil, 0, false},
		{[]config.HashPolicy{{Kind: config.HashCookie, Name: "c"}}, []string{`cookie: b=1; c="x"`}, sum("x"), true},
		{[]config.HashPolicy{{Kind: config.HashCookie, Name: "c"}}, nil, 0, false},
	} {
		h := Hash(routed(&config.Forward{}, c.fields...), c.policies)
		if h.Value != c.want || h.Any != c.any || h.Cookies != nil {
			t.Errorf("%d: %+v, want %d", i, h, c.want)
		}
	}
	p := config.HashPolicy{
		Kind: config.HashCookie, Name: "c", CookieTTL: ttl(90 * time.Second), CookiePath: "/p", Attributes: [][2]string{{"SameSite", "Strict"}, {"Secure", ""}},
	}
	h := Hash(routed(&config.Forward{}), []config.HashPolicy{p})
	value := fmt.Sprintf("%016x", sum("10.1.2.3:400010.9.9.9:80"))
	if want := `c="` + value + `"; Max-Age=90; Path=/p; SameSite=Strict; Secure; HttpOnly`; len(h.Cookies) != 1 || h.Cookies[0] != want || h.Value != sum(value) {
		t.Errorf("%+v, want %s", h, want)
	}
	p = config.HashPolicy{Kind: config.HashCookie, Name: "c", CookieTTL: ttl(0)}
	if h := Hash(routed(&config.Forward{}), []config.HashPolicy{p}); h.Cookies[0] != `c="`+value+`"; HttpOnly` {
		t.Errorf("a cookie for the session: %+v", h)
	}
}

func FuzzCookie(f *testing.F) {
	f.Add(`a=b; c="d";e`, "c")
	f.Add("=;=", "")
	f.Fuzz(func(t *testing.T, crumbs, name string) {
		var fields stream.Fields
		fields.Add("cookie", crumbs)
		if value := Cookie(&fields, name); !strings.Contains(crumbs, value) {
			t.Errorf("%q isn't in %q", value, crumbs)
		}
		fields.Set("cookie", "first=1; "+name+"=known; last=2")
		if clean := !strings.ContainsAny(name, "=; \t") && name != "" && name != "first"; clean && Cookie(&fields, name) != "known" {
			t.Errorf("%q isn't found", name)
		}
	})
}
