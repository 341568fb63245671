package telemetry

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/format"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

var update = flag.Bool("update", false, "write the golden files")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := errors.Join(os.MkdirAll("testdata", 0o755), os.WriteFile(path, got, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
	}
}

func logTo(path, source string) []*config.AccessLog {
	return []*config.AccessLog{{Path: path, Format: &config.Format{Source: source}}}
}

// stalled is a sink nobody reads from until released.
type stalled struct {
	release chan struct{}
	mu      sync.Mutex
	lines   uint64
	text    bytes.Buffer
}

func (s *stalled) Write(p []byte) (int, error) {
	<-s.release
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines += countLines(p)
	return s.text.Write(p)
}

// TestStalledSink: connections never wait for the log; what doesn't fit is counted, and nothing else is lost.
func TestStalledSink(t *testing.T) {
	out, dropped := &stalled{release: make(chan struct{})}, new(Counter)
	logs := NewLogs(LogOptions{Stdout: out, Dropped: dropped})
	set := logs.For(logTo("/dev/stdout", format.Istio))
	const lines = 20000 // 5 MB
	for range lines {
		set.Log(request(200))
	}
	if dropped.Load() == 0 {
		t.Error("nothing was dropped with a stalled sink")
	}
	s := logs.sinks["/dev/stdout"]
	s.mu.Lock()
	if len(s.pending) > ringBytes {
		t.Errorf("%d bytes wait", len(s.pending))
	}
	s.mu.Unlock()
	close(out.release)
	logs.Close()
	<-s.done
	if total := out.lines + dropped.Load(); total != lines {
		t.Errorf("%d lines written and dropped, %d were logged", total, lines)
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("no") }

func TestBrokenSink(t *testing.T) {
	for name, o := range map[string]LogOptions{
		"can't be written": {Stdout: broken{}},
		"can't be opened":  {Open: func(string) (io.WriteCloser, error) { return nil, errors.New("no") }},
	} {
		o.Dropped = new(Counter)
		logs := NewLogs(o)
		set := logs.For(logTo(map[bool]string{true: "/dev/stdout", false: "/file"}[o.Stdout != nil], "x\n"))
		set.Log(request(200))
		set.Log(request(200))
		logs.Close()
		if n := o.Dropped.Load(); n != 2 {
			t.Errorf("%s: %d lines dropped, want 2", name, n)
		}
	}
}

// TestReopen: after a file was moved away and Reopen, lines go to a new one, and none is lost or torn.
func TestReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	logs := NewLogs(LogOptions{Flush: time.Millisecond, Dropped: new(Counter)})
	set := logs.For(logTo(path, "%REQ(:path)%\n"))
	s := logs.sinks[path]
	var want strings.Builder
	x := request(200)
	for n := range 100 {
		x.Request.Path = fmt.Sprintf("/%d", n)
		fmt.Fprintln(&want, x.Request.Path)
		set.Log(x)
		if n == 50 {
			for waiting := true; waiting; { // until the first file is there
				_, err := os.Stat(path)
				waiting = err != nil
			}
			if err := os.Rename(path, path+".1"); err != nil {
				t.Fatal(err)
			}
			logs.Reopen()
		}
	}
	logs.Close()
	<-s.done
	first, err1 := os.ReadFile(path + ".1")
	second, err2 := os.ReadFile(path)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	if got := string(first) + string(second); got != want.String() || len(second) == 0 {
		t.Errorf("got %q and %q", first, second)
	}
}

// TestWriters: many at once write whole lines, each once; two configurations of one file share it.
func TestWriters(t *testing.T) {
	out := &stalled{release: make(chan struct{})}
	close(out.release)
	logs := NewLogs(LogOptions{Stdout: out, Dropped: new(Counter)})
	const writers, each = 4, 500
	var wait sync.WaitGroup
	for w := range writers {
		set := logs.For(logTo("/dev/stdout", "%REQ(:path)% "+strings.Repeat("x", 100)+"\n"))
		wait.Go(func() {
			x := request(200)
			for n := range each {
				x.Request.Path = fmt.Sprintf("/%d/%d", w, n)
				set.Log(x)
			}
		})
	}
	wait.Wait()
	s := logs.sinks["/dev/stdout"]
	logs.Close()
	<-s.done
	seen := map[string]bool{}
	for line := range strings.Lines(out.text.String()) {
		if path, rest, _ := strings.Cut(line, " "); rest != strings.Repeat("x", 100)+"\n" || seen[path] {
			t.Fatalf("torn or twice: %q", line)
		} else {
			seen[path] = true
		}
	}
	if len(seen) != writers*each {
		t.Errorf("%d lines", len(seen))
	}
}

func TestNilSet(t *testing.T) {
	var none *LogSet
	none.Log(request(200))
	logs := NewLogs(LogOptions{Stdout: io.Discard})
	logs.Close()
	logs.For(logTo("", "x")).Log(request(200)) // after the end: lost, but nothing else
}

// TestFilters is a table of each kind of filter.
func TestFilters(t *testing.T) {
	status := func(op config.CompareOp, v uint32) *config.LogFilter {
		return &config.LogFilter{Kind: config.LogStatus, Op: op, Value: v}
	}
	header := func(m config.HeaderMatch) *config.LogFilter {
		m.Name = "x-a"
		return &config.LogFilter{Kind: config.LogHeader, Header: &m}
	}
	yes, no := true, false
	half := &config.Fraction{PerMillion: 500_000, Key: "key"}
	for _, c := range []struct {
		name   string
		filter *config.LogFilter
		x      func(*stream.Exchange)
		want   bool
	}{
		{"none", nil, nil, true},
		{"status equal", status(config.Equal, 200), nil, true},
		{"status other", status(config.Equal, 201), nil, false},
		{"status not", status(config.NotEqual, 201), nil, true},
		{"status at least", status(config.GreaterOrEqual, 200), nil, true},
		{"status above", status(config.GreaterOrEqual, 201), nil, false},
		{"status at most", status(config.LessOrEqual, 199), nil, false},
		{"duration", &config.LogFilter{Kind: config.LogDuration, Op: config.GreaterOrEqual, Value: 12}, nil, true},
		{"short", &config.LogFilter{Kind: config.LogDuration, Op: config.GreaterOrEqual, Value: 13}, nil, false},
		{"no health check", &config.LogFilter{Kind: config.LogNotHealthCheck}, nil, true},
		{"health check", &config.LogFilter{Kind: config.LogNotHealthCheck}, func(x *stream.Exchange) { x.Request.Fields.Add("x-envoy-hc", "1") }, false},
		{"traced", &config.LogFilter{Kind: config.LogTraceable}, func(x *stream.Exchange) { x.Traced = true }, true},
		{"not traced", &config.LogFilter{Kind: config.LogTraceable}, nil, false},
		{"sampled", &config.LogFilter{Kind: config.LogRuntime, Fraction: half}, nil, true}, // the runtime says 600 000, chance 550 000
		{"not sampled", &config.LogFilter{Kind: config.LogRuntime, Fraction: &config.Fraction{PerMillion: 550_000}}, nil, false},
		{"and", &config.LogFilter{Kind: config.LogAnd, Filters: []*config.LogFilter{status(config.Equal, 200), status(config.Equal, 201)}}, nil, false},
		{"or", &config.LogFilter{Kind: config.LogOr, Filters: []*config.LogFilter{status(config.Equal, 200), status(config.Equal, 201)}}, nil, true},
		{"header present", header(config.HeaderMatch{Present: &yes}), addXA, true},
		{"header absent", header(config.HeaderMatch{Present: &no}), addXA, false},
		{"header value", header(config.HeaderMatch{Value: &config.StringMatch{Value: "5"}}), addXA, true},
		{"header value inverted", header(config.HeaderMatch{Value: &config.StringMatch{Value: "5"}, Invert: true}), addXA, false},
		{"header missing inverted", header(config.HeaderMatch{Value: &config.StringMatch{Value: "5"}, Invert: true}), nil, false},
		{"header missing is empty", header(config.HeaderMatch{Value: &config.StringMatch{}, MissingIsEmpty: true}), nil, true},
		{"header range", header(config.HeaderMatch{Range: &config.Range{Start: 5, End: 6}}), addXA, true},
		{"header out of range", header(config.HeaderMatch{Range: &config.Range{Start: 6, End: 9}}), addXA, false},
		{"any flag", &config.LogFilter{Kind: config.LogFlags}, func(x *stream.Exchange) { x.Flags = stream.RateLimited }, true},
		{"no flag", &config.LogFilter{Kind: config.LogFlags}, nil, false},
		{"that flag", &config.LogFilter{Kind: config.LogFlags, Flags: []string{"UF", "RL"}}, func(x *stream.Exchange) { x.Flags = stream.RateLimited }, true},
		{"flag of the connection", &config.LogFilter{Kind: config.LogFlags, Flags: []string{"DC"}}, func(x *stream.Exchange) { x.Conn.Flags = stream.DownstreamReset }, true},
		{"another flag", &config.LogFilter{Kind: config.LogFlags, Flags: []string{"UF"}}, func(x *stream.Exchange) { x.Flags = stream.RateLimited }, false},
		{"gRPC", &config.LogFilter{Kind: config.LogGRPC, Statuses: []uint32{5}}, func(x *stream.Exchange) { x.GRPCStatus = 5 }, true},
		{"gRPC excluded", &config.LogFilter{Kind: config.LogGRPC, Statuses: []uint32{5}, Exclude: true}, func(x *stream.Exchange) { x.GRPCStatus = 5 }, false},
		{"gRPC of HTTP", &config.LogFilter{Kind: config.LogGRPC, Statuses: []uint32{0}}, nil, true},
		{"unknown", &config.LogFilter{Kind: config.LogNone}, nil, false},
	} {
		logs := NewLogs(LogOptions{
			Runtime: func(string, uint32) uint32 { return 600_000 }, Random: func() uint64 { return 7*million + 550_000 },
		})
		x := request(200)
		if c.x != nil {
			c.x(x)
		}
		if got := logs.compileFilter(c.filter).takes(x); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func addXA(x *stream.Exchange) { x.Request.Fields.Add("x-a", "5") }

// TestTap: who watches sees what they asked for, at most so much, and stops costing when they stop.
func TestTap(t *testing.T) {
	now := time.Unix(100, 0)
	tap := NewTap(func() time.Time { return now })
	exchange := func(path string, status int) {
		x := request(status)
		x.Request.Path, x.Request.Method = path, "GET"
		tap.Request(x)
		tap.Response(x)
		tap.End(x)
	}
	events := func(lines <-chan []byte) (all string) {
		for {
			select {
			case line := <-lines:
				all += string(line[10:13]) + " " // {"event":"req
			default:
				return all
			}
		}
	}
	all, stopAll, _ := tap.Watch(TapFilter{MaxPerSecond: 2})
	bad, stopBad, _ := tap.Watch(TapFilter{Class: 5, MaxPerSecond: 1})
	for range 3 {
		exchange("/a", 200)
	}
	exchange("/a", 503)
	exchange("/a", 503)
	if got := events(all); got != "req rsp end req rsp end " {
		t.Errorf("all: %s", got)
	}
	if got := events(bad); got != "req rsp end " {
		t.Errorf("bad: %s", got)
	}
	now = now.Add(time.Second)
	exchange("/a", 200)
	if got := events(all); got != "req rsp end " {
		t.Errorf("a second later: %s", got)
	}
	for range 1000 {
		now = now.Add(time.Second)
		exchange("/a", 200) // nobody reads
	}
	for range maxWatchers - 2 {
		if _, _, err := tap.Watch(TapFilter{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := tap.Watch(TapFilter{}); err == nil {
		t.Error("too many watch")
	}
	stopAll()
	stopAll()
	stopBad()
	if _, open := <-bad; open {
		t.Error("the lines don't end")
	}
}

func BenchmarkLog(b *testing.B) {
	logs := NewLogs(LogOptions{Stdout: io.Discard})
	defer logs.Close()
	set, x := logs.For(logTo("/dev/stdout", format.Istio)), request(200)
	b.ReportAllocs()
	for b.Loop() {
		set.Log(x)
	}
}
