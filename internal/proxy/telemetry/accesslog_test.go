package telemetry

import (
	"bytes"
	"errors"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

var update = flag.Bool("update", false, "write the golden files")

var fullEntry = Entry{
	Start: time.Date(2026, 3, 4, 5, 6, 7, 89e6, time.UTC), Duration: 1234 * time.Millisecond, Received: 10, Sent: 20,
	UpstreamCluster: "PassthroughCluster", UpstreamHost: netip.MustParseAddrPort("10.0.0.9:80"),
	UpstreamLocal: netip.MustParseAddrPort("10.0.0.1:4444"), DownstreamLocal: netip.MustParseAddrPort("10.0.0.9:80"),
	DownstreamRemote: netip.MustParseAddrPort("10.0.0.1:3333"),
}

func TestGoldenLines(t *testing.T) {
	format, err := CompileFormat(IstioFormat)
	if err != nil {
		t.Fatal(err)
	}
	failed := fullEntry
	failed.Flags, failed.UpstreamLocal = stream.UpstreamConnectionFailure, netip.AddrPort{}
	ended := fullEntry
	ended.Flags, ended.Termination = stream.IdleTimeout|stream.LocalReset, "tcp_session_idle_timeout"
	ended.DownstreamRemote = netip.MustParseAddrPort("[fd00::1]:3333")
	var got []byte
	for _, e := range []*Entry{&fullEntry, &failed, &ended, {}} {
		got = format.Append(got, e)
	}
	golden(t, "lines.txt", got)
}

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

func TestFormatErrors(t *testing.T) {
	for format, want := range map[string]string{
		"%START_TIME": "no closing", "%COLOUR%": "COLOUR", "a %BYTES_SENT% b": "", "100%%": "",
	} {
		f, err := CompileFormat(format)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", format, err)
		}
		if format == "100%%" && string(f.Append(nil, &Entry{})) != "100%" {
			t.Errorf("%q gives %q", format, f.Append(nil, &Entry{}))
		}
	}
}

// FuzzFormat: a format either compiles or is refused, and what compiles can be used.
func FuzzFormat(f *testing.F) {
	f.Add(IstioFormat)
	f.Add("%REQ(:METHOD)% %")
	f.Fuzz(func(_ *testing.T, format string) {
		if compiled, err := CompileFormat(format); err == nil {
			compiled.Append(nil, &Entry{})
		}
	})
}

// stalled is a sink nobody reads from until released.
type stalled struct {
	release chan struct{}
	mu      sync.Mutex
	lines   uint64
}

func (s *stalled) Write(p []byte) (int, error) {
	<-s.release
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines += countLines(p)
	return len(p), nil
}

// TestStalledSink: connections never wait for the log; what doesn't fit is counted, and nothing else is lost.
func TestStalledSink(t *testing.T) {
	format, err := CompileFormat(IstioFormat)
	if err != nil {
		t.Fatal(err)
	}
	sink := &stalled{release: make(chan struct{})}
	var dropped Counter
	l := NewAccessLog(sink, format, &dropped)
	const lines = 20000 // 5 MB
	for range lines {
		l.Log(&fullEntry)
	}
	if dropped.Load() == 0 {
		t.Error("nothing was dropped with a stalled sink")
	}
	l.sink.mu.Lock()
	if len(l.sink.pending) > ringBytes {
		t.Errorf("%d bytes wait", len(l.sink.pending))
	}
	l.sink.mu.Unlock()
	close(sink.release)
	l.Close()
	<-l.sink.done
	if total := sink.lines + dropped.Load(); total != lines {
		t.Errorf("%d lines written and dropped, %d were logged", total, lines)
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("no") }

func TestBrokenSink(t *testing.T) {
	var dropped Counter
	format, _ := CompileFormat("x\n")
	l := NewAccessLog(broken{}, format, &dropped)
	l.Log(&Entry{})
	l.Log(&Entry{})
	l.Close()
	if dropped.Load() != 2 {
		t.Errorf("%d lines dropped, want 2", dropped.Load())
	}
}

func BenchmarkLine(b *testing.B) {
	format, err := CompileFormat(IstioFormat)
	if err != nil {
		b.Fatal(err)
	}
	var line []byte
	b.ReportAllocs()
	for b.Loop() {
		line = format.Append(line[:0], &fullEntry)
	}
}
