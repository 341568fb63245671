package agent

import (
	"errors"
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

func TestCGroup(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		limit int64
		kills uint64
	}{
		"no files":                             {nil, 0, 0},
		"version 2":                            {map[string]string{"memory.max": "134217728\n", "memory.events": "low 0\noom 3\noom_kill 2\noom_group_kill 1\n"}, 128 << 20, 2},
		"version 2, no limit":                  {map[string]string{"memory.max": "max\n", "memory.events": "oom_kill 0\n"}, 0, 0},
		"version 1":                            {map[string]string{"memory/memory.limit_in_bytes": "134217728\n", "memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n"}, 128 << 20, 4},
		"version 1, no limit, pages of 4 KiB":  {map[string]string{"memory/memory.limit_in_bytes": "9223372036854771712\n"}, 0, 0},
		"version 1, no limit, pages of 64 KiB": {map[string]string{"memory/memory.limit_in_bytes": "9223372036854710272\n"}, 0, 0},
		"version 1, nonsense":                  {map[string]string{"memory/memory.limit_in_bytes": "-1\n"}, 0, 0},
		"both":                                 {map[string]string{"memory.max": "134217728", "memory/memory.limit_in_bytes": "1048576"}, 128 << 20, 0},
	} {
		t.Run(name, func(t *testing.T) {
			g := cgroup{t.TempDir()}
			for file, text := range c.files {
				path := filepath.Join(g.dir, file)
				if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
					t.Fatal(err)
				}
			}
			if limit, kills := g.memoryLimit(), g.oomKills(); limit != c.limit || kills != c.kills {
				t.Errorf("limit %d, kills %d; want %d, %d", limit, kills, c.limit, c.kills)
			}
		})
	}
}

func TestLimits(t *testing.T) {
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
