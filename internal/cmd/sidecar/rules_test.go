//go:build linux

package sidecar

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pillion-mesh/pillion/internal/agent"
	"github.com/pillion-mesh/pillion/internal/capture/nstest"
	capturecmd "github.com/pillion-mesh/pillion/internal/cmd/capture"
)

// TestRulesAreLookedAt with the right to see them: counters and what somebody changed.
func TestRulesAreLookedAt(t *testing.T) {
	ns, path := nstest.New(t), filepath.Join(t.TempDir(), "capture.json")
	if got := (&rules{record: path}).Look(); got.Backend != "" || !strings.Contains(got.Why, "doesn't exist") {
		t.Errorf("without a record: %+v", got)
	}
	ns.Must(t, func() error {
		var out bytes.Buffer
		run := func(args ...string) {
			t.Helper()
			if code := capturecmd.Run(append(args, "--record", path), nil, &out, &out); code != 0 {
				t.Fatalf("%v ends with %d: %s", args, code, &out)
			}
		}
		run("apply", "-i", "*", "-b", "*", "-d", "15090")
		r := &rules{record: path}
		got := r.Look()
		if !got.Read || len(got.Drift) != 0 || len(got.Rules) < 8 || got.Backend != "nftables" || got.Mode != "all" {
			t.Fatalf("after apply: %+v", got)
		}
		expect(t, got, "output.capture.all", "outbound")
		expect(t, got, "prerouting.bypass.port", "left")
		// another plan's rules, of which there's no record
		other := filepath.Join(t.TempDir(), "other.json")
		if code := capturecmd.Run([]string{"apply", "-i", "*", "-b", "8080", "--record", other}, nil, &out, &out); code != 0 {
			t.Fatalf("the other plan: %s", &out)
		}
		if got := r.Look(); !got.Read || len(got.Drift) == 0 {
			t.Errorf("with other rules in force: %+v", got)
		}
		return nil
	})
}

// TestRulesWithoutTheRight are known by their record.
func TestRulesWithoutTheRight(t *testing.T) {
	ns, path := nstest.New(t), filepath.Join(t.TempDir(), "capture.json")
	ns.Must(t, func() error {
		var out bytes.Buffer
		if code := capturecmd.Run([]string{"apply", "-i", "*", "-b", "*", "--record", path}, nil, &out, &out); code != 0 {
			t.Fatal(out.String())
		}
		if err := nstest.DropNetAdmin(); err != nil {
			return err
		}
		r := &rules{record: path}
		for range 2 {
			if got := r.Look(); got.Read || got.Backend != "nftables" || !strings.Contains(got.Why, "CAP_NET_ADMIN") {
				t.Errorf("%+v", got)
			}
		}
		if !r.denied {
			t.Error("the kernel is asked each time")
		}
		return nil
	})
}

func expect(t *testing.T, r agent.RulesReport, rule, verdict string) {
	t.Helper()
	for _, c := range r.Rules {
		if c.Rule == rule {
			if c.Verdict != verdict {
				t.Errorf("verdict of %s is %s, want %s", rule, c.Verdict, verdict)
			}
			return
		}
	}
	t.Errorf("no rule %s among %+v", rule, r.Rules)
}
