package fault

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/filter"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

const all = 1_000_000

func request(fields ...string) *stream.Exchange {
	x := &stream.Exchange{Conn: &stream.Conn{}, ClusterName: "c"}
	for i := 0; i+1 < len(fields); i += 2 {
		x.Request.Fields.Add(fields[i], fields[i+1])
	}
	return x
}

func code(n uint32) *uint32 { return &n }

func TestFaults(t *testing.T) {
	exact := func(v string) *config.StringMatch { return &config.StringMatch{Value: v} }
	for i, c := range []struct {
		c            config.Fault
		x            *stream.Exchange
		slept        time.Duration
		status, grpc int
	}{
		{config.Fault{}, request(), 0, 0, 0},
		{config.Fault{AbortHTTP: 503, AbortPerMillion: all}, request(), 0, 503, 0},
		{config.Fault{AbortHTTP: 503, AbortPerMillion: 500_000}, request(), 0, 503, 0},
		{config.Fault{AbortHTTP: 503, AbortPerMillion: 499_999}, request(), 0, 0, 0},
		{config.Fault{AbortHTTP: 503}, request(), 0, 0, 0},
		{config.Fault{AbortGRPC: code(14), AbortPerMillion: all}, request(), 0, 503, 14},
		{config.Fault{AbortGRPC: code(16), AbortPerMillion: all}, request(), 0, 401, 16},
		{config.Fault{Delay: time.Second, DelayPerMillion: all}, request(), time.Second, 0, 0},
		{config.Fault{Delay: time.Second, DelayPerMillion: all, AbortHTTP: 418, AbortPerMillion: all}, request(), time.Second, 418, 0},
		{config.Fault{Delay: time.Second, DelayPerMillion: 1}, request(), 0, 0, 0},
		{config.Fault{AbortHTTP: 503, AbortPerMillion: all, UpstreamCluster: "other"}, request(), 0, 0, 0},
		{config.Fault{AbortHTTP: 503, AbortPerMillion: all, UpstreamCluster: "c"}, request(), 0, 503, 0},
		{config.Fault{AbortHTTP: 503, AbortPerMillion: all, Headers: []config.HeaderMatch{{Name: "a", Value: exact("1")}}}, request("a", "2"), 0, 0, 0},
		{config.Fault{AbortHTTP: 503, AbortPerMillion: all, DownstreamNodes: []string{"n"}}, request(), 0, 0, 0},
		{config.Fault{AbortHTTP: 503, AbortPerMillion: all, DownstreamNodes: []string{"n"}}, request("x-envoy-downstream-service-node", "n"), 0, 503, 0},
		// Headers count only if configured.
		{config.Fault{AbortHTTP: 503}, request("x-envoy-fault-abort-request", "418", "x-envoy-fault-abort-request-percentage", "100"), 0, 0, 0},
		{config.Fault{AbortHeader: true, AbortPerMillion: all}, request("x-envoy-fault-abort-request", "418"), 0, 418, 0},
		{config.Fault{AbortHeader: true, AbortPerMillion: all}, request("x-envoy-fault-abort-request", "999"), 0, 0, 0},
		{config.Fault{AbortHeader: true, AbortPerMillion: all}, request("x-envoy-fault-abort-grpc-request", "5"), 0, 404, 5},
		{config.Fault{AbortHeader: true, AbortPerMillion: all}, request("x-envoy-fault-abort-grpc-request", "17"), 0, 0, 0},
		{config.Fault{AbortHeader: true, AbortPerMillion: all}, request("x-envoy-fault-abort-request", "418", "x-envoy-fault-abort-request-percentage", "49"), 0, 0, 0},
		{config.Fault{AbortHeader: true, AbortPerMillion: 10}, request("x-envoy-fault-abort-request", "418", "x-envoy-fault-abort-request-percentage", "100"), 0, 0, 0},
		{config.Fault{DelayHeader: true, DelayPerMillion: all}, request("x-envoy-fault-delay-request", "250"), 250 * time.Millisecond, 0, 0},
		{config.Fault{DelayHeader: true, DelayPerMillion: all}, request("x-envoy-fault-delay-request", "4294967295"), time.Hour, 0, 0},
		{config.Fault{DelayHeader: true, DelayPerMillion: all}, request(), 0, 0, 0},
	} {
		var slept time.Duration
		f, _ := New(&c.c, filter.Deps{
			Random: func() uint64 { return 499_999 },
			Sleep:  func(_ context.Context, d time.Duration) error { slept += d; return nil },
		})
		reply := f.Request(context.Background(), c.x, nil)
		if slept != c.slept || (c.x.Flags == stream.DelayInjected) != (slept > 0) {
			t.Errorf("%d: slept %v, flags %s", i, slept, c.x.Flags)
		}
		switch {
		case (reply == nil) != (c.status == 0):
			t.Errorf("%d: %+v", i, reply)
		case reply != nil && (reply.Status != c.status || reply.GRPCStatus != c.grpc || reply.Body != "fault filter abort" ||
			reply.Details != "fault_filter_abort" || reply.Flags != stream.FaultInjected):
			t.Errorf("%d: %+v", i, reply)
		}
	}
}

func TestMostActive(t *testing.T) {
	started, end := make(chan bool), make(chan bool)
	f, _ := New(&config.Fault{Delay: time.Second, DelayPerMillion: all, MaxActive: code(1)}, filter.Deps{
		Sleep: func(context.Context, time.Duration) error { started <- true; <-end; return nil },
	})
	ask := func(done chan stream.Flags) {
		x := request()
		f.Request(context.Background(), x, nil)
		done <- x.Flags
	}
	first, second := make(chan stream.Flags), make(chan stream.Flags, 1)
	go ask(first)
	<-started
	ask(second)
	if flags := <-second; flags != 0 {
		t.Errorf("a second fault while one was active: %s", flags)
	}
	end <- true
	if flags := <-first; flags != stream.DelayInjected {
		t.Errorf("the first: %s", flags)
	}
	go ask(second)
	<-started
	end <- true
	if flags := <-second; flags != stream.DelayInjected {
		t.Errorf("after the first: %s", flags)
	}
}

func TestClientGone(t *testing.T) {
	f, _ := New(&config.Fault{Delay: time.Hour, DelayPerMillion: all, AbortHTTP: 500, AbortPerMillion: all}, filter.Deps{})
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errors.New("gone"))
	if reply := f.Request(ctx, request(), nil); reply != nil {
		t.Errorf("%+v", reply)
	}
}

// TestRate: how fast answers are, by the configuration or by headers, and that they count among the active faults.
func TestRate(t *testing.T) {
	const header, part = "x-envoy-fault-throughput-response", "x-envoy-fault-throughput-response-percentage"
	for i, c := range []struct {
		c    config.Fault
		x    *stream.Exchange
		want uint64
	}{
		{config.Fault{RateKBps: 9, RatePerMillion: all}, request(), 9 << 10},
		{config.Fault{RateKBps: 9, RatePerMillion: 499_999}, request(), 0},
		{config.Fault{RateKBps: 1 << 60, RatePerMillion: all}, request(), 1 << 42},
		{config.Fault{RateKBps: 9, RatePerMillion: all, UpstreamCluster: "other"}, request(), 0},
		{config.Fault{RateKBps: 9, RatePerMillion: all, MaxActive: code(0)}, request(), 0},
		{config.Fault{RateKBps: 9, RatePerMillion: all}, request(header, "1"), 9 << 10},
		{config.Fault{RateHeader: true, RatePerMillion: all}, request(header, "2"), 2 << 10},
		{config.Fault{RateHeader: true, RatePerMillion: all}, request(header, "0"), 0},
		{config.Fault{RateHeader: true, RatePerMillion: all}, request(header, "fast"), 0},
		{config.Fault{RateHeader: true, RatePerMillion: all}, request(), 0},
		{config.Fault{RateHeader: true, RatePerMillion: all}, request(header, "2", part, "49"), 0},
		{config.Fault{RateHeader: true, RatePerMillion: all}, request(header, "2", part, "50"), 2 << 10},
	} {
		active, injected := int64(0), 0
		f, _ := New(&c.c, filter.Deps{
			Random: func() uint64 { return 499_999 },
			Gauge:  func(string) func(int64) { return func(delta int64) { active += delta } },
			Counter: func(name string) func() {
				return func() {
					if name == "fault.response_rl_injected" {
						injected++
					}
				}
			},
		})
		if reply := f.Request(context.Background(), c.x, nil); reply != nil {
			t.Errorf("%d: %+v", i, reply)
		}
		got := c.x.Throttle
		if got == nil {
			if c.want != 0 || active != 0 || injected != 0 {
				t.Errorf("%d: not slow, want %d; active %d, counted %d", i, c.want, active, injected)
			}
			continue
		}
		if got.Rate != c.want || active != 1 || injected != 1 {
			t.Errorf("%d: rate %d, want %d; active %d, counted %d", i, got.Rate, c.want, active, injected)
		}
		if got.End(); active != 0 {
			t.Errorf("%d: it ended, and %d are active", i, active)
		}
	}
}
