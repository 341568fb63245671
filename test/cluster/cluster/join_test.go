package cluster

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/test/cluster/binary"
	"github.com/pillion-mesh/pillion/test/cluster/progress"
	"github.com/pillion-mesh/pillion/test/cluster/state"
)

// TestSharing: several join at once and get one cluster; the last to leave takes it down. A file lock belongs to an open
// file, so for it these are as many programs.
func TestSharing(t *testing.T) {
	o := apiOnly(t)
	const users = 3
	clusters, leave := make([]*Cluster, users), make([]func(context.Context) error, users)
	var all sync.WaitGroup
	for n := range users {
		all.Go(func() {
			var err error
			if clusters[n], leave[n], err = Join(context.Background(), o, nil); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if t.Failed() {
		t.FailNow()
	}
	for n, c := range clusters {
		if c.Record.Init != clusters[0].Record.Init {
			t.Errorf("%d got a cluster of its own", n)
		}
	}
	checkMisfit(t, o)
	for n, leave := range leave {
		if !clusters[0].Record.Init.Alive() {
			t.Fatalf("down while %d still use it", users-n)
		}
		if err := leave(context.Background()); err != nil {
			t.Error(err)
		}
	}
	if clusters[0].Record.Init.Alive() {
		t.Error("still up after the last left")
	}
	expectNothing(t)
}

// checkMisfit: who asks for something else gets an error and leaves the running one alone.
func checkMisfit(t *testing.T, o Options) {
	t.Helper()
	o.ControllerManager = true
	if _, _, err := Join(t.Context(), o, nil); err == nil || !strings.Contains(err.Error(), "down --name") {
		t.Errorf("joining one that doesn't fit gives %v", err)
	}
}

// TestKept: what somebody started or joined with Up stays when tests leave.
func TestKept(t *testing.T) {
	o := apiOnly(t)
	c, leave, err := Join(t.Context(), o, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Up(t.Context(), o, nil); err != nil {
		t.Fatal(err)
	}
	if err := leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !c.Record.Init.Alive() {
		t.Error("the last test took down what somebody else wants to keep")
	}
	if err := Down(t.Context(), o.Name, progress.New(nil)); err != nil {
		t.Fatal(err)
	}
	expectNothing(t)
}

// TestCrashed: a cluster whose init or API server was killed is replaced by the next user, and leaves no process.
func TestCrashed(t *testing.T) {
	for _, victim := range []string{"init", "kube-apiserver"} {
		t.Run(victim, func(t *testing.T) {
			o := apiOnly(t)
			first, err := Up(t.Context(), o, nil)
			if err != nil {
				t.Fatal(err)
			}
			components, err := first.Dir.Components()
			if err != nil {
				t.Fatal(err)
			}
			kill(t, victim, first, components)
			second, err := Up(t.Context(), o, nil)
			if err != nil {
				t.Fatal(err)
			}
			if second.Record.Init == first.Record.Init {
				t.Error("got the broken one")
			}
			for _, c := range components {
				if c.Process.Alive() {
					t.Errorf("%s of the first is left", c.Name)
				}
			}
			if err := Clean(t.Context(), progress.New(nil)); err != nil {
				t.Fatal(err)
			}
			expectNothing(t)
		})
	}
}

func kill(t *testing.T, victim string, c *Cluster, components []state.Component) {
	t.Helper()
	for _, p := range append(components, state.Component{Name: "init", Process: c.Record.Init}) {
		if p.Name == victim {
			if err := p.Process.Kill(10 * time.Second); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("no component %s in %v", victim, components)
}

// TestEtcdThatFails: a component that exits ends the start at once, with its last lines.
func TestEtcdThatFails(t *testing.T) {
	o := apiOnly(t)
	folder := t.TempDir()
	script := "#!/bin/sh\necho no space left >&2\nexit 3\n"
	if err := os.WriteFile(folder+"/etcd", []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", folder+":"+os.Getenv("PATH"))
	_, err := Up(t.Context(), o, nil)
	if err == nil || !strings.Contains(err.Error(), "etcd exited with code 3") || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("got %v", err)
	}
	if err := Down(t.Context(), o.Name, progress.New(nil)); err != nil {
		t.Fatal(err)
	}
	expectNothing(t)
}

func TestNodeNeedsRoot(t *testing.T) {
	dir := state.Dir("/var/tmp/pillion-cluster-x")
	if err := nodePossible(dir, 1000); !errors.Is(err, ErrNeedsRoot) {
		t.Errorf("as user 1000: %v, want %v", err, ErrNeedsRoot)
	}
	if err := nodePossible(dir, 0); err != nil {
		t.Errorf("as root: %v", err)
	}
}

func TestMisfit(t *testing.T) {
	for name, test := range map[string]struct {
		wanted Options
		runs   state.Record
		fits   bool
	}{
		"same":                 {Options{APIOnly: true}, state.Record{APIOnly: true}, true},
		"more":                 {Options{APIOnly: true}, state.Record{APIOnly: true, ControllerManager: true}, true},
		"less":                 {Options{APIOnly: true, ControllerManager: true}, state.Record{APIOnly: true}, false},
		"node for API":         {Options{APIOnly: true}, state.Record{}, false},
		"IPv6 missing":         {Options{DualStack: true}, state.Record{}, false},
		"IPv6 not asked for":   {Options{}, state.Record{DualStack: true}, true},
		"cert-manager missing": {Options{CertManager: true}, state.Record{}, false},
		"cert-manager there":   {Options{CertManager: true}, state.Record{CertManager: true}, true},
		"not asked for it":     {Options{}, state.Record{CertManager: true}, true},
		"other feature gates":  {Options{FeatureGates: "A=true"}, state.Record{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if why := test.wanted.misfit(test.runs); (why == "") != test.fits {
				t.Errorf("says %q", why)
			}
		})
	}
}

// TestDefaultNames: who needs more doesn't join one that has less.
func TestDefaultNames(t *testing.T) {
	for want, o := range map[string]Options{
		"node":              {},
		"node-cert-manager": {CertManager: true},
		"api":               {APIOnly: true},
		"api-controllers":   {APIOnly: true, ControllerManager: true},
		"api-cert-manager":  {APIOnly: true, ControllerManager: true, CertManager: true},
		"mine":              {Name: "mine", CertManager: true},
	} {
		if got := o.DefaultName(); got != want {
			t.Errorf("%+v is called %q, want %q", o, got, want)
		}
	}
}

// apiOnly gives the test state folders of its own.
func apiOnly(t *testing.T) Options {
	t.Helper()
	if _, err := binary.Find(binary.ForAPI()); err != nil {
		if os.Getenv("PILLION_REQUIRE_NODE") == "1" {
			t.Fatal(err)
		}
		t.Skipf("skipped: %v", err)
	}
	t.Setenv(state.BaseEnv, t.TempDir())
	t.Cleanup(func() {
		if err := Clean(context.Background(), progress.New(nil)); err != nil {
			t.Error(err)
		}
	})
	return Options{APIOnly: true, Name: "join"}
}

func expectNothing(t *testing.T) {
	t.Helper()
	names, err := state.All()
	if err != nil || len(names) > 0 {
		t.Errorf("left of clusters: %q, %v", names, err)
	}
}
