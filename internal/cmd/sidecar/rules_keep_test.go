//go:build linux

package sidecar

import (
	"bytes"
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"

	"github.com/pillion-mesh/pillion/internal/capture/ipt"
	"github.com/pillion-mesh/pillion/internal/capture/live"
	"github.com/pillion-mesh/pillion/internal/capture/nft"
	"github.com/pillion-mesh/pillion/internal/capture/nstest"
	"github.com/pillion-mesh/pillion/internal/capture/plan"
	capturecmd "github.com/pillion-mesh/pillion/internal/cmd/capture"
)

// kept is a namespace with rules, and the part of the agent that keeps them.
type kept struct {
	t    *testing.T
	ns   *nstest.Namespace
	r    *rules
	end  context.CancelFunc
	done chan error
}

// keep applies a plan and starts to keep it.
func keep(t *testing.T, failOpen bool, accepting func() bool, flags ...string) *kept {
	t.Helper()
	dir := t.TempDir()
	k := &kept{t: t, ns: nstest.New(t), done: make(chan error, 1)}
	k.r = &rules{record: filepath.Join(dir, "capture.json"), sockets: dir, failOpen: failOpen, namespace: k.ns.Path(), log: logr.Discard()}
	k.apply(flags...)
	ctx, cancel := context.WithCancel(t.Context())
	k.end = cancel
	go func() { k.done <- k.r.Keep(ctx, accepting) }()
	return k
}

func (k *kept) apply(flags ...string) {
	k.t.Helper()
	k.ns.Must(k.t, func() error {
		var out bytes.Buffer
		if code := capturecmd.Run(append([]string{"apply", "--record", k.r.record}, flags...), nil, &out, &out); code != 0 {
			k.t.Fatalf("%v ends with %d: %s", flags, code, &out)
		}
		return nil
	})
}

// eventually waits for what the namespace shows.
func (k *kept) eventually(what string, test func() bool) {
	k.t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		var ok bool
		k.ns.Must(k.t, func() error { ok = test(); return nil })
		if ok {
			return
		}
		if time.Now().After(deadline) {
			k.t.Fatalf("after 10s: %s: no; %+v", what, k.r.Look())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (k *kept) holds(set string, n int) func() bool {
	return func() bool { return k.r.Look().Sets[set] == n }
}

func (k *kept) finish() {
	k.t.Helper()
	k.end()
	if err := <-k.done; err != nil {
		k.t.Error(err)
	}
}

func TestLateCaptureIsArmedWhenTheProxyAccepts(t *testing.T) {
	for name, failOpen := range map[string]bool{"fail closed": false, "fail open": true} {
		t.Run(name, func(t *testing.T) {
			var accepting atomic.Bool
			k := keep(t, failOpen, accepting.Load, "-i", "*", "-b", "*", "--arming", "late")
			time.Sleep(3 * armEvery)
			k.eventually("not armed yet", k.holds(plan.SetArmed, 0))
			accepting.Store(true)
			k.eventually("armed", k.holds(plan.SetArmed, 2))
			k.ns.Must(t, deleteRules)
			k.eventually("repaired, and armed again", func() bool { r := k.r.Look(); return len(r.Drift) == 0 && r.Sets[plan.SetArmed] == 2 })
			k.finish()
			want := 2
			if failOpen {
				want = 0
			}
			k.eventually("the end is as asked for", k.holds(plan.SetArmed, want))
		})
	}
}

// Rules of iptables are looked at, armed and filled alike, where its programs are.
func TestRulesOfIptablesAreKept(t *testing.T) {
	for _, variant := range []ipt.Variant{ipt.NFT, ipt.Legacy} {
		if _, err := ipt.Find(variant, ipt.Dirs()); err != nil {
			if os.Getenv("PILLION_REQUIRE_NETNS") != "" {
				t.Fatalf("PILLION_REQUIRE_NETNS is set, but: %v", err)
			}
			t.Skip(err)
		}
		t.Run(string(variant), func(t *testing.T) {
			var accepting atomic.Bool
			k := keep(t, true, accepting.Load, "-i", "*", "-b", "*", "--arming", "late", "--force-iptables-binary", string(variant))
			k.eventually("not armed yet", k.holds(plan.SetArmed, 0))
			accepting.Store(true)
			k.eventually("armed", k.holds(plan.SetArmed, 2))
			k.ns.Must(t, func() error {
				if got := k.r.Look(); got.Backend != "iptables-"+string(variant) || !got.Read || len(got.Drift) > 0 || len(got.Rules) < 8 {
					t.Errorf("%+v", got)
				}
				return nil
			})
			k.finish()
			k.eventually("disarmed at the end", k.holds(plan.SetArmed, 0))
		})
	}
}

// deleteRules is what another program may do.
func deleteRules() error {
	b, err := nft.Open()
	if err != nil {
		return err
	}
	defer func() { _ = b.Close() }()
	if _, err := b.Compare(&plan.Ruleset{}, ""); err != nil {
		return err
	}
	return b.Replace(&plan.Ruleset{}, "")
}

func TestListedAddressesComeOverTheSocket(t *testing.T) {
	k := keep(t, false, func() bool { return true }, "--mode", "listed", "-u", "1000", "-p", "15001", "-z", "15001", "--pod-ips", "10.0.0.9", "--listed-outbound", "240.0.0.1")
	k.eventually("the first address", k.holds(plan.SetVIP4, 1))
	var client *live.Client
	k.eventually("the socket answers", func() (ok bool) {
		c, err := live.Dial(filepath.Join(k.r.sockets, captureSocket), 5*time.Second)
		client = c
		return err == nil
	})
	if err := client.Add(plan.SetVIP4, time.Minute, plan.Element{Addr: netip.MustParseAddr("240.0.0.10")}); err != nil {
		t.Fatal(err)
	}
	k.ns.Must(t, func() error {
		if !k.holds(plan.SetVIP4, 2)() {
			t.Errorf("after the call: %+v", k.r.Look())
		}
		return nil
	})
	if err := client.Close(); err != nil {
		t.Error(err)
	}
	k.finish()
}

// TestWithoutTheRight the agent can't arm, and says so; rules that need nobody it leaves to themselves.
func TestKeepingWithoutTheRight(t *testing.T) {
	for name, row := range map[string]struct {
		flags []string
		want  string
	}{
		"late":  {[]string{"--arming", "late"}, "give the container NET_ADMIN"},
		"early": {nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			k := &kept{t: t, ns: nstest.New(t), r: &rules{record: filepath.Join(dir, "capture.json"), sockets: dir, log: logr.Discard()}}
			k.apply(append([]string{"-i", "*", "-b", "*"}, row.flags...)...)
			err := <-k.ns.Thread(func() error {
				if err := nstest.DropNetAdmin(); err != nil {
					return err
				}
				return k.r.Keep(t.Context(), func() bool { return true })
			})
			if (err == nil) != (row.want == "") || err != nil && !strings.Contains(err.Error(), row.want) {
				t.Errorf("got %v, want %q", err, row.want)
			}
		})
	}
}

func TestNothingToKeep(t *testing.T) {
	r := &rules{record: filepath.Join(t.TempDir(), "none.json"), log: logr.Discard()}
	if err := r.Keep(t.Context(), func() bool { return true }); err != nil {
		t.Error(err)
	}
}
