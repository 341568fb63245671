//go:build linux

package capture

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/pillion-mesh/pillion/internal/capture"
	"github.com/pillion-mesh/pillion/internal/capture/nft"
	"github.com/pillion-mesh/pillion/internal/capture/nstest"
	"github.com/pillion-mesh/pillion/internal/capture/plan"
)

// outcome is what a user sees of one run.
type outcome struct {
	code           int
	stdout, stderr string
	evidence       capture.Evidence
}

const line = "-i * -b * -d 15090,15021,15020 --record="

// call runs a command line in the calling thread's namespace.
func call(line string, environ ...string) outcome {
	var stdout, stderr bytes.Buffer
	o := outcome{code: Run(strings.Fields(line), environ, &stdout, &stderr)}
	return o.read(stdout, stderr)
}

func (o outcome) read(stdout, stderr bytes.Buffer) outcome {
	o.stdout, o.stderr = stdout.String(), stderr.String()
	for text := range strings.Lines(o.stderr) {
		if strings.HasPrefix(text, "{") {
			_ = json.Unmarshal([]byte(text), &o.evidence)
		}
	}
	return o
}

func (o outcome) expect(t *testing.T, what string, code int, result string, texts ...string) {
	t.Helper()
	if o.code != code || o.evidence.Result != result {
		t.Errorf("%s: exit %d, result %q; want %d, %q\n%s", what, o.code, o.evidence.Result, code, result, o.stderr)
	}
	for _, text := range texts {
		if !strings.Contains(o.stdout+o.stderr, text) {
			t.Errorf("%s: %q is missing in\n%s%s", what, text, o.stdout, o.stderr)
		}
	}
}

func TestLifeOfOneNamespace(t *testing.T) {
	ns := nstest.New(t)
	ns.Must(t, func() error {
		call("-n "+line).expect(t, "dry run", 0, "dry-run", "table inet pillion {")
		call("verify "+line).expect(t, "verify before apply", 126, "differs", "missing rule output.capture.all")
		call("diff "+line).expect(t, "diff before apply", 79, "differs", "missing rule output.capture.all")
		call("--skip-rule-apply --run-validation "+line).expect(t, "only validation", 126, "differs")
		call("--skip-rule-apply "+line).expect(t, "nothing", 0, "unchanged", "nothing was done")
		call(line).expect(t, "apply", 0, "applied", `"in":"redirect:15006","out":"redirect:15001","dns":"off"`)
		call(line).expect(t, "second apply", 0, "unchanged", `"changed":0`)
		call("--force-apply --native-nftables "+line).expect(t, "forced apply", 0, "applied", `"why":"asked for"`)
		call("--run-validation "+line).expect(t, "validation", 0, "unchanged")
		call("verify "+line).expect(t, "verify", 0, "verified")
		call("diff "+line).expect(t, "diff", 0, "unchanged")
		call("explain "+line).expect(t, "explain", 0, "", "output.capture.all", "0 connections")
		call("explain --as nftables "+line).expect(t, "explain as nftables", 0, "", "chain nat_out {")
		call("explain --as plan "+line).expect(t, "explain as plan", 0, "", `"mode": "all"`)
		call("explain "+line+" tcp 10.0.0.7:1 10.9.3.4:443 --uid 1337").expect(t, "explain a packet", 0, "", "direct: the proxy never sees this connection (output.identity.leave)")
		call("explain "+line+" tcp 10.0.0.7:1 10.9.3.4:443 --output json").expect(t, "explain as JSON", 0, "", `"verdict": "outbound"`)
		call("explain "+line+" tcp 10.0.0.7:1 10.0.0.7:15021 --in").expect(t, "explain inbound", 0, "", "prerouting.bypass.port")
		call("explain "+line+" tcp 10.0.0.7 10.0.0.7:15021").expect(t, "explain nonsense", 64, "", "want ADDRESS:PORT")
		call("diff -o json -x 10.9.0.0/16 "+line).expect(t, "diff as JSON", 79, "differs", `"what": "rule output.bypass.dst4"`)
		call("verify -o json "+line).expect(t, "verify as JSON", 0, "verified", `"differences": []`)
		call("-m NONE "+line).expect(t, "none", 0, "applied", `"in":"none","out":"none"`)
		call("clean").expect(t, "clean what is clean", 0, "unchanged")
		call(line).expect(t, "apply again", 0, "applied")
		call("--cleanup-only --record=").expect(t, "clean", 0, "cleaned")
		return nil
	})
}

func TestUsageErrorsTouchNothing(t *testing.T) {
	ns := nstest.New(t)
	ns.Must(t, func() error {
		call("-p 0 "+line).expect(t, "bad port", 64, "failed", `"0" is not a number from 1 to 65535`)
		call("-p 15006 "+line).expect(t, "equal ports", 64, "failed", "are both 15006")
		call("-m TPROXIES "+line).expect(t, "an unknown way", 64, "failed", "want REDIRECT, TPROXY or NONE")
		call("--backend iptables --native-nftables "+line).expect(t, "two backends", 64, "failed", "want one of both")
		call(line, "ISTIO_META_DNS_CAPTURE=perhaps").expect(t, "DNS by environment", 64, "failed", "ISTIO_META_DNS_CAPTURE")
		call("--help").expect(t, "help", 0, "", "--istio-inbound-ports", "126 verification failed")
		call("verify -m NONE").expect(t, "nothing was touched", 0, "verified")
		return nil
	})
	call("--network-namespace /nowhere "+line).expect(t, "no such namespace", 64, "failed", "/nowhere")
}

func TestRecord(t *testing.T) {
	ns, path := nstest.New(t), filepath.Join(t.TempDir(), "capture.json")
	ns.Must(t, func() error {
		call("-i * -b * --record "+path).expect(t, "apply", 0, "applied")
		record, err := capture.Load(path)
		if err != nil {
			return err
		}
		if record.Evidence.Result != "applied" || record.Plan.Fingerprint() != record.Evidence.Plan {
			t.Errorf("record %+v", record)
		}
		dst := netip.MustParseAddrPort("10.1.1.1:80")
		if v := record.Plan.Eval(plan.Packet{Hook: plan.Output, Proto: plan.TCP, Src: dst, Dst: dst, Out: "eth0"}).Verdict; v != plan.VerdictOutbound {
			t.Errorf("the record's plan says %s", v)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o644 {
			t.Errorf("mode %v, %v", info, err)
		}
		call("-i * -b * --record /nowhere/capture.json").expect(t, "record nowhere", 1, "unchanged", "the rules are in force, but")
		return nil
	})
	for _, damaged := range []string{"{", "{}", `{"plan":{"loopback":"x"}}`} {
		if err := os.WriteFile(path, []byte(damaged), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := capture.Load(path); err == nil {
			t.Errorf("a damaged record was read: %s", damaged)
		}
	}
}

// Without NET_ADMIN, even as root: the kernel itself says no.
func TestWithoutNetAdmin(t *testing.T) {
	ns := nstest.New(t)
	for _, sub := range []string{"", "verify ", "diff ", "clean "} {
		var got outcome
		err := <-ns.Thread(func() error {
			if err := nstest.DropNetAdmin(); err != nil {
				return err
			}
			got = call(sub + line)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		got.expect(t, sub+"without NET_ADMIN", 77, "failed", "CAP_NET_ADMIN", "securityContext.capabilities.add", "istio-init")
	}
	err := <-ns.Thread(func() error {
		if err := nstest.DropNetAdmin(); err != nil {
			return err
		}
		call("explain "+line+" tcp 10.0.0.7:1 10.9.3.4:443").expect(t, "explain needs no right", 0, "", "outbound: goes to the proxy's port 15001")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A kernel that answers as one without netfilter's netlink does, and an image without iptables.
func TestKernelWithoutNftables(t *testing.T) {
	ns, empty := nstest.New(t), t.TempDir()
	var got outcome
	err := <-ns.Thread(func() error {
		if err := errors.Join(nstest.Chroot(empty), nstest.DenyNetfilterSockets(syscall.EPROTONOSUPPORT)); err != nil {
			return err
		}
		got = call(line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	got.expect(t, "no nftables", 69, "failed", "CONFIG_NF_TABLES", "Linux 5.2", "opening a netlink socket for netfilter", "iptables-nft-restore isn't in", "iptables-legacy-restore isn't in")
}

// fake is a backend that answers as told.
type fake struct{ compare, replace error }

func (f fake) Name() string { return "nftables" }

func (f fake) Compare(*plan.Ruleset, string) (nft.Report, error) {
	return nft.Report{Differences: []plan.Difference{{Kind: plan.Missing, What: "rule output.capture.all"}}}, f.compare
}

func (f fake) Replace(*plan.Ruleset, string) error { return f.replace }

// links has addresses of both families and refuses what add says.
type links struct{ add error }

func (l links) Addresses() ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr("10.0.0.7"), netip.MustParseAddr("fd00::7")}, nil
}
func (l links) AddToLoopback(netip.Prefix) error      { return l.add }
func (l links) RemoveFromLoopback(netip.Prefix) error { return nil }

func TestExitCodesOfRefusals(t *testing.T) {
	refused := errors.New("refused")
	for name, c := range map[string]struct {
		rules fake
		links links
		code  int
		text  string
	}{
		"not permitted":          {fake{compare: fmt.Errorf("reading: %w", nft.ErrPermission)}, links{}, 77, "NET_ADMIN"},
		"not permitted to write": {fake{replace: fmt.Errorf("writing: %w", nft.ErrPermission)}, links{}, 77, "NET_ADMIN"},
		"no nf_tables":           {fake{compare: fmt.Errorf("reading: %w", nft.ErrUnsupported)}, links{}, 69, "CONFIG_NF_TABLES"},
		"no nat":                 {fake{replace: fmt.Errorf("writing: %w", nft.ErrUnsupported)}, links{}, 69, "CONFIG_NFT_REDIR"},
		"refused":                {fake{replace: refused}, links{}, 1, "refused"},
		"changed all the time":   {fake{}, links{}, 1, "another program changes table inet pillion"},
		"IPv6 can't be had":      {fake{}, links{add: refused}, 69, "use --ip-families ipv4 to leave IPv6 alone"},
	} {
		command, err := plan.Parse(strings.Fields(line), plan.Environment{})
		if err != nil {
			t.Fatal(err)
		}
		system := capture.System{Rules: c.rules, Links: c.links, LegacyTables: func() []string { return nil }, Version: "test"}
		var stdout, stderr bytes.Buffer
		r := &run{command: command, stdout: &stdout, open: func() (capture.System, func(), error) { return system, func() {}, nil }}
		code := r.finish(r.do(), &stderr)
		outcome{code: code}.read(stdout, stderr).expect(t, name, c.code, "failed", c.text)
	}
}
