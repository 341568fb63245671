package export

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/telemetry"
)

const patient = 30 * time.Second

func counters() Counters {
	return Counters{new(telemetry.Counter), new(telemetry.Counter), new(telemetry.Counter), new(telemetry.Counter)}
}

// to is a plan whose reports come out of a channel.
func to(reports chan<- string) Plan {
	return Plan{
		Send: func(_ context.Context, entries [][]byte) error {
			var all []string
			for _, each := range entries {
				all = append(all, string(each))
			}
			reports <- strings.Join(all, ",")
			return nil
		},
		Timeout: patient, Interval: time.Hour, Entries: 100, Counters: counters(),
	}
}

func receive(t *testing.T, from <-chan string) string {
	t.Helper()
	select {
	case got := <-from:
		return got
	case <-time.After(patient):
		t.Fatal("no report came")
		return ""
	}
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

// TestReports: entries go together when there are enough of them or of their bytes, when the interval is over, or at the
// end; each goes once, in order.
func TestReports(t *testing.T) {
	for name, c := range map[string]struct {
		change  func(*Plan)
		entries []string
		want    []string
	}{
		"enough entries": {func(p *Plan) { p.Entries = 2 }, []string{"a", "b", "c", "d"}, []string{"a,b", "c,d"}},
		"enough bytes":   {func(p *Plan) { p.Bytes = 4 }, []string{"aaaa", "bbbbbbbb", "cc", "cc"}, []string{"aaaa", "bbbbbbbb", "cc,cc"}},
		"each at once":   {func(p *Plan) { p.Bytes = 1 }, []string{"a", "b"}, []string{"a", "b"}},
		"interval":       {func(p *Plan) { p.Interval = time.Nanosecond }, []string{"a"}, []string{"a"}},
	} {
		t.Run(name, func(t *testing.T) {
			reports := make(chan string, 10)
			plan := to(reports)
			c.change(&plan)
			g := NewGroup()
			q := g.Queue(plan)
			for _, each := range c.entries {
				q.Add([]byte(each))
			}
			for _, want := range c.want {
				if got := receive(t, reports); got != want {
					t.Errorf("report %q, want %q", got, want)
				}
			}
			g.Close(context.Background())
			if n := plan.Counters.Sent.Load(); n != uint64(len(c.entries)) || plan.Counters.Dropped.Load() != 0 || plan.Counters.Reports.Load() != uint64(len(c.want)) {
				t.Errorf("%d were sent", n)
			}
		})
	}
}

// TestStalled: a collector that takes nothing holds up nobody: not who adds, not another collector. What it can't take is
// bounded and counted.
func TestStalled(t *testing.T) {
	g := NewGroup()
	stuck := make(chan struct{}, 1)
	plan := to(nil)
	plan.Entries, plan.Waiting = 1, 3
	plan.Send = func(ctx context.Context, _ [][]byte) error {
		stuck <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}
	stalled := g.Queue(plan)
	stalled.Add([]byte("first"))
	<-stuck
	for range 10 {
		stalled.Add([]byte("more"))
	}
	if n := plan.Counters.Dropped.Load(); n != 7 {
		t.Errorf("%d were dropped, want 7", n)
	}
	reports := make(chan string, 1)
	other := to(reports)
	other.Entries = 1
	g.Queue(other).Add([]byte("hello"))
	if got := receive(t, reports); got != "hello" {
		t.Errorf("the other one got %q", got)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	go func() {
		for range stuck { //nolint:revive // every send is let go, its context has ended
		}
	}()
	g.Close(ctx)
	close(stuck)
	if n := plan.Counters.Dropped.Load(); n != 11 || plan.Counters.Failed.Load() != 4 || plan.Counters.Sent.Load() != 0 {
		t.Errorf("%d were dropped, want 11", n)
	}
}

// TestBytes: what waits is bounded in bytes, too.
func TestBytes(t *testing.T) {
	g := NewGroup()
	plan := to(make(chan string, 10))
	q := g.Queue(plan)
	for range 3 {
		q.Add(make([]byte, MostBytes/2))
	}
	if n := plan.Counters.Dropped.Load(); n != 1 {
		t.Errorf("%d were dropped, want 1", n)
	}
	g.Close(context.Background())
}

// TestClose sends what waits, and nothing that comes later.
func TestClose(t *testing.T) {
	reports := make(chan string, 10)
	plan := to(reports)
	g := NewGroup()
	q := g.Queue(plan)
	q.Add([]byte("a"))
	q.Add([]byte("b"))
	g.Close(context.Background())
	q.Add([]byte("late"))
	g.Queue(plan).Add([]byte("later"))
	if got := receive(t, reports); got != "a,b" || len(reports) != 0 || plan.Counters.Dropped.Load() != 2 {
		t.Errorf("got %q and %d more", got, len(reports))
	}
}

// TestIdle: a queue without entries has no goroutine, and gets one again.
func TestIdle(t *testing.T) {
	reports := make(chan string, 10)
	plan := to(reports)
	plan.Interval = time.Nanosecond
	g := NewGroup()
	defer g.Close(context.Background())
	q := g.Queue(plan)
	for i := range 3 {
		q.Add(fmt.Append(nil, i))
		if got := receive(t, reports); got != fmt.Sprint(i) {
			t.Errorf("got %q", got)
		}
		eventually(t, func() bool { q.mu.Lock(); defer q.mu.Unlock(); return !q.running }, "the goroutine's end")
	}
}

// TestMany: whoever adds at the same time, each entry is sent or counted.
func TestMany(t *testing.T) {
	var mu sync.Mutex
	var got []string
	plan := to(nil)
	plan.Interval, plan.Entries, plan.Waiting = time.Microsecond, 7, 50
	fail := false
	plan.Send = func(_ context.Context, entries [][]byte) error {
		mu.Lock()
		defer mu.Unlock()
		if fail = !fail; fail {
			return errors.New("not now")
		}
		for _, each := range entries {
			got = append(got, string(each))
		}
		return nil
	}
	g := NewGroup()
	q := g.Queue(plan)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for n := range 200 {
				q.Add(fmt.Appendf(nil, "%d-%d", i, n))
			}
		})
	}
	all.Wait()
	g.Close(context.Background())
	slices.Sort(got)
	if n := len(slices.Compact(slices.Clone(got))); n != len(got) || uint64(n) != plan.Counters.Sent.Load() || plan.Counters.Sent.Load()+plan.Counters.Dropped.Load() != 1600 {
		t.Errorf("%d of %d different, %d sent, %d dropped", n, len(got), plan.Counters.Sent.Load(), plan.Counters.Dropped.Load())
	}
}
