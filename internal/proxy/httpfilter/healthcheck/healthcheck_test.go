package healthcheck

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/filter"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

var path = []config.HeaderMatch{{Name: ":path", Value: &config.StringMatch{Value: "/health"}}}

// rig is a filter with what it sees of the world.
type rig struct {
	*check
	now     time.Time
	failing bool
	members map[string][2]int64
}

func newRig(t *testing.T, c config.HealthCheckFilter) *rig {
	t.Helper()
	r := &rig{now: time.Unix(1000, 0), members: map[string][2]int64{}}
	c.Headers = path
	f, err := New(&c, filter.Deps{
		Now: func() time.Time { return r.now }, Unhealthy: func() bool { return r.failing }, Self: filter.Self{Service: "me"},
		Members: func(name string) (total, available int64, there bool) {
			n, there := r.members[name]
			return n[0], n[1], there
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	r.check = f.(*check)
	return r
}

func request(path string) *stream.Exchange {
	x := &stream.Exchange{Conn: &stream.Conn{}, Span: &stream.Span{Sampled: true}}
	x.Request.Path = path
	return x
}

// ask is what a request for path gets: the filter's answer, or what it adds to the upstream's.
func (r *rig) ask(path string, upstream int, fields ...string) string {
	x := request(path)
	reply := r.Request(context.Background(), x, nil)
	got := "through "
	x.Response.Status = upstream
	for _, name := range fields {
		x.Response.Fields.Add(name, "")
	}
	if reply != nil {
		got = fmt.Sprintf("%d %s %s ", reply.Status, reply.Details, reply.Flags)
		x.Local, x.Details, x.Response.Status = true, reply.Details, reply.Status
		x.Response.Fields.Clear()
		for _, f := range reply.Fields {
			x.Response.Fields.Add(f.Name, f.Value)
		}
	}
	r.Response(x)
	for i := range x.Response.Fields.Len() {
		got += fmt.Sprint(x.Response.Fields.At(i))
	}
	if x.HealthCheck == x.Span.Sampled {
		got += " sampled"
	}
	return got
}

func TestAnswersItself(t *testing.T) {
	r := newRig(t, config.HealthCheckFilter{})
	const checked = "{x-envoy-upstream-healthchecked-cluster me}"
	for i, step := range []struct {
		failing    bool
		path, want string
	}{
		{false, "/health", "200 health_check_ok - " + checked}, {false, "/other", "through "},
		{true, "/health", "503 health_check_failed LH " + checked}, {true, "/other", "through {x-envoy-immediate-health-check-fail true}"},
		{false, "/health", "200 health_check_ok - " + checked},
	} {
		if r.failing = step.failing; r.ask(step.path, 200) != step.want {
			t.Errorf("%d: %s", i, r.ask(step.path, 200))
		}
	}
}

func TestClusters(t *testing.T) {
	for i, c := range []struct {
		total, available int64
		percent          uint32
		want             string
	}{
		{-1, 0, 0, "503 health_check_failed_no_cluster_found"}, {0, 0, 1, "503 health_check_failed_cluster_empty"}, {0, 0, 0, "200 health_check_ok_cluster_healthy"},
		{4, 2, 50, "200 health_check_ok_cluster_healthy"}, {4, 1, 50, "503 health_check_failed_cluster_unhealthy"}, {3, 2, 67, "503 health_check_failed_cluster_unhealthy"},
	} {
		r := newRig(t, config.HealthCheckFilter{Clusters: []config.ClusterHealth{{Name: "fine"}, {Name: "c", Percent: c.percent}}})
		r.members["fine"] = [2]int64{}
		if c.total >= 0 {
			r.members["c"] = [2]int64{c.total, c.available}
		}
		reply := r.Request(context.Background(), request("/health"), nil)
		if got := fmt.Sprint(reply.Status, " ", reply.Details); got != c.want || (reply.Flags != 0) != (reply.Status == 503) {
			t.Errorf("%d: %s %s", i, got, reply.Flags)
		}
	}
}

// TestPassThrough: the upstream's answer is kept for a while, and no answer of the filter's own.
func TestPassThrough(t *testing.T) {
	r := newRig(t, config.HealthCheckFilter{PassThrough: true, CacheTime: 10 * time.Second})
	const checked = "{x-envoy-upstream-healthchecked-cluster me}"
	for i, step := range []struct {
		after    time.Duration
		failing  bool
		path     string
		upstream int
		degraded bool
		want     string
	}{
		{0, false, "/other", 500, false, "through "},
		{0, false, "/health", 200, true, "through {x-envoy-degraded }" + checked},
		{0, false, "/health", 500, false, "200 health_check_cached - {x-envoy-degraded }" + checked},
		{9 * time.Second, false, "/health", 500, false, "200 health_check_cached - {x-envoy-degraded }" + checked},
		{0, true, "/health", 500, false, "503 health_check_failed LH " + checked},
		{time.Second, false, "/health", 501, false, "through " + checked},
		{time.Second, false, "/health", 200, false, "501 health_check_cached LH " + checked},
	} {
		r.now, r.failing = r.now.Add(step.after), step.failing
		var fields []string
		if step.degraded {
			fields = []string{"x-envoy-degraded"}
		}
		if got := r.ask(step.path, step.upstream, fields...); got != step.want {
			t.Errorf("%d: %s, want %s", i, got, step.want)
		}
	}
	never := newRig(t, config.HealthCheckFilter{PassThrough: true})
	for range 2 {
		if got := never.ask("/health", 200); got != "through "+checked {
			t.Errorf("without cache: %s", got)
		}
	}
}

func TestTraceChangesNothing(t *testing.T) {
	x, tr := request("/health"), &stream.Trace{}
	if reply := newRig(t, config.HealthCheckFilter{}).Request(context.Background(), x, tr); reply != nil || x.HealthCheck || len(tr.Steps) != 1 {
		t.Errorf("%+v %v", reply, tr.Steps)
	}
}
