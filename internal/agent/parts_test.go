package agent

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// TestReady: all combinations of the facts; the sidecar is ready in exactly one.
func TestReady(t *testing.T) {
	for bits := range 8 {
		f := Facts{Children: bits&1 != 0, Accepting: bits&2 != 0, Draining: bits&4 != 0}
		ready, blocked := Ready(f)
		if ready != (bits == 3) || ready != (len(blocked) == 0) {
			t.Errorf("%+v: ready %v, blocked by %v", f, ready, blocked)
		}
		if f.Draining && blocked[0] != "draining" {
			t.Errorf("%+v: blocked by %v", f, blocked)
		}
	}
}

func TestFacts(t *testing.T) {
	now := time.Now()
	serving := ChildStatus{State: Serving, Healthy: true, LastBeat: now}
	silent := ChildStatus{State: Serving, Healthy: true, LastBeat: now.Add(-11 * time.Second)}
	for _, c := range []struct {
		status ChildStatus
		want   bool
	}{{serving, true}, {silent, false}, {ChildStatus{State: Warming}, false}, {ChildStatus{State: Exited}, false}} {
		if ready, _ := Ready(facts(c.status, false, now, DefaultLimits)); ready != c.want {
			t.Errorf("%+v: ready %v", c.status, ready)
		}
	}
}

func TestMergeText(t *testing.T) {
	pages := []string{
		"# HELP a one\n# TYPE a gauge\na 1\n",
		"# HELP a again\n# TYPE a gauge\na{x=\"2\"} 2\n# plain comment\n# plain comment\n# TYPE b counter\nb " + strings.Repeat("7", 40<<10) + "\nlast 1",
	}
	var out strings.Builder
	seen := map[string]bool{}
	for _, page := range pages {
		if err := mergeText(&out, strings.NewReader(page), seen); err != nil {
			t.Fatal(err)
		}
	}
	want := "# HELP a one\n# TYPE a gauge\na 1\na{x=\"2\"} 2\n# plain comment\n"
	if got := out.String(); !strings.HasPrefix(got, want) || strings.Count(got, "# TYPE a") != 1 || !strings.HasSuffix(got, "7\nlast 1") {
		t.Errorf("merged %.200q", got)
	}
}

// FuzzMergeText: what is merged has every sample and no second description of a family.
func FuzzMergeText(f *testing.F) {
	f.Add("# TYPE a gauge\na 1\n", "# TYPE a gauge\na 2\n")
	f.Fuzz(func(t *testing.T, first, second string) {
		var out strings.Builder
		seen := map[string]bool{}
		for _, page := range []string{first, second} {
			if err := mergeText(&out, strings.NewReader(page), seen); err != nil {
				t.Fatal(err)
			}
		}
		if len(out.String()) > len(first)+len(second) {
			t.Error("merging made the text longer")
		}
	})
}

func TestLimits(t *testing.T) {
	dir := t.TempDir()
	g := cgroup{dir}
	if g.memoryLimit() != 0 || g.oomKills() != 0 {
		t.Error("limits without files")
	}
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("memory.max", "max\n")
	write("memory.events", "low 0\noom 3\noom_kill 2\noom_group_kill 1\n")
	if g.memoryLimit() != 0 || g.oomKills() != 2 {
		t.Errorf("limit %d, kills %d", g.memoryLimit(), g.oomKills())
	}
	write("memory.max", "134217728\n")
	if g.memoryLimit() != 128<<20 {
		t.Errorf("limit %d", g.memoryLimit())
	}
	for limit, want := range map[int64]int64{0: 0, 16 << 20: 32 << 20, 100 << 20: (100<<20)/10*9 - 32<<20} {
		if got := proxyMemory(limit); got != want {
			t.Errorf("proxyMemory(%d) = %d, want %d", limit, got, want)
		}
	}
	env := childEnv([]string{"A=1", "GOMEMLIMIT=7", "GOMAXPROCS=9"}, 5, 2)
	if want := []string{"A=1", "GOMEMLIMIT=5", "GOMAXPROCS=2"}; !reflect.DeepEqual(env, want) {
		t.Errorf("env %q", env)
	}
	if env := childEnv([]string{"GOMEMLIMIT=7", "GOMAXPROCS=9"}, 0, 0); len(env) != 2 {
		t.Errorf("env %q", env)
	}
}

func TestNoPlaceForSockets(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := OpenSockets(Settings{RunDir: filepath.Join(file, "run")})
	if err == nil || !strings.Contains(err.Error(), "mount a volume writable for UID") {
		t.Errorf("error %v doesn't say what to do", err)
	}
}

func TestTailKeepsTheEnd(t *testing.T) {
	var out strings.Builder
	w := newTail(&out)
	for range 100 {
		if _, err := w.Write([]byte(strings.Repeat("x", 100))); err != nil {
			t.Fatal(err)
		}
	}
	_, _ = w.Write([]byte("the end"))
	if got := w.String(); len(got) != tailBytes || !strings.HasSuffix(got, "the end") || out.Len() != 10007 {
		t.Errorf("kept %d bytes, passed %d", len(got), out.Len())
	}
}
