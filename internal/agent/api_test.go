package agent

import (
	"maps"
	"path/filepath"
	"slices"
	"testing"

	"github.com/go-logr/logr"

	"github.com/pillion-mesh/pillion/internal/istio"
	"github.com/pillion-mesh/pillion/internal/ops"
)

// TestLevels is the list of what anybody may call who reaches the pod. Whoever adds to it has to know why: it needs no
// proof of any kind.
func TestLevels(t *testing.T) {
	want := map[string]ops.Level{
		istio.PathReady: ops.Anyone, istio.PathPrometheus: ops.Anyone, "/metrics": ops.Anyone,
		"/app-health/": ops.Anyone, "/app-lifecycle/": ops.Anyone, "/capture": ops.Loopback, "/": ops.Anyone,
		"/version": ops.Loopback, "/drain": ops.Ourselves, "/quitquitquit": ops.Ourselves,
	}
	for _, fromApp := range []bool{false, true} {
		a := &Agent{settings: Settings{QuitFromApp: fromApp}}
		if fromApp {
			want["/drain"], want["/quitquitquit"] = ops.Loopback, ops.Loopback
		}
		got := map[string]ops.Level{}
		for _, r := range a.routes() {
			got[r.path] = r.level
		}
		if !maps.Equal(got, want) {
			t.Errorf("levels %v, want %v", got, want)
		}
	}
}

// TestStatusPort: moved, and absent.
func TestStatusPort(t *testing.T) {
	for value, c := range map[string]struct {
		port uint16
		ok   bool
	}{"": {15020, true}, "0": {0, true}, "16020": {16020, true}, "15021": {0, false}, "15006": {0, false}, "x": {0, false}, "65536": {0, false}, "-1": {0, false}} {
		s, _, err := Load(nil, []string{"PILLION_STATUS_PORT=" + value}, nil)
		if (err == nil) != c.ok || c.ok && s.StatusPort != c.port {
			t.Errorf("%q: port %d, %v", value, s.StatusPort, err)
		}
		if owned := slices.Contains(s.OwnPorts(), c.port); c.ok && owned != (c.port != 0) {
			t.Errorf("%q: own ports %d", value, s.OwnPorts())
		}
	}
}

func TestNoStatusPort(t *testing.T) {
	open := &Sockets{}
	defer open.Close()
	s := Settings{RunDir: t.TempDir()} // ReadyPort 0 is any
	if err := open.forAgent(s); err != nil {
		t.Fatal(err)
	}
	if len(open.Status) != 0 || len(open.Ready) == 0 {
		t.Errorf("%d sockets of the operations API, %d of readiness", len(open.Status), len(open.Ready))
	}
}

// TestApplicationSettings: the pod starts whatever is in them.
func TestApplicationSettings(t *testing.T) {
	s, _, err := Load(nil, []string{
		"INSTANCE_IP=10.0.0.7", "ISTIO_KUBE_APP_PROBERS={broken", "ISTIO_PROMETHEUS_ANNOTATIONS=[]", "PILLION_SCRAPE_TARGETS=15020,http",
		"REWRITE_PROBE_LEGACY_LOCALHOST_DESTINATION=true", "ENABLE_PROBE_KEEPALIVE_CONNECTIONS=true", "ISTIO_ENABLE_HTTP2_PROBING=false",
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !s.ProbeLoopback || !s.ProbeKeepAlive || s.ProbeHTTP2 {
		t.Errorf("settings %+v", s)
	}
	a := &Agent{settings: s, log: logr.Discard(), proxy: ops.NewClient(filepath.Join(t.TempDir(), "x"), 1)}
	a.joinApplication()
	if a.probes == nil || a.scraper == nil {
		t.Error("there is nothing to answer with")
	}
}

func TestAppAddress(t *testing.T) {
	for _, c := range []struct {
		pod      string
		loopback bool
		want     string
	}{
		{"10.0.0.7", false, "10.0.0.7"}, {"fd00::7", false, "fd00::7"}, {"::ffff:10.0.0.7", false, "10.0.0.7"}, {"", false, "127.0.0.1"},
		{"10.0.0.7", true, "127.0.0.1"}, {"fd00::7", true, "::1"}, {"::ffff:10.0.0.7", true, "127.0.0.1"}, {"", true, "127.0.0.1"},
	} {
		if got := (Settings{PodIP: c.pod, ProbeLoopback: c.loopback}).appAddress().String(); got != c.want {
			t.Errorf("pod %q, loopback %v: %s, want %s", c.pod, c.loopback, got, c.want)
		}
	}
}
