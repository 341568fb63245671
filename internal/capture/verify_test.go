//go:build linux

package capture_test

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/nftables"

	"github.com/pillion-mesh/pillion/internal/capture"
	"github.com/pillion-mesh/pillion/internal/capture/nstest"
	"github.com/pillion-mesh/pillion/internal/capture/plan"
)

// Whatever another program does to our table, verify says what, and apply repairs it.
func TestVerifyNamesEveryDeletedRule(t *testing.T) {
	t.Parallel()
	for _, line := range features() {
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			ns := nstest.New(t)
			var p *plan.Plan
			ns.Must(t, func() (err error) {
				p, _, err = apply(line)
				return err
			})
			for _, chain := range p.Rules().Chains {
				for _, r := range chain.Rules {
					ns.Must(t, func() error { return deleteRule(chain.Name, r.ID) })
					expectOne(t, ns, p, plan.Missing, "rule "+r.ID)
				}
			}
		})
	}
}

// expectOne wants exactly one difference, repaired by Apply.
func expectOne(t *testing.T, ns *nstest.Namespace, p *plan.Plan, kind plan.DifferenceKind, what string) {
	t.Helper()
	ns.Must(t, func() error {
		return with(func(s capture.System) error {
			differences, _, err := s.Diff(p)
			if err != nil {
				return err
			}
			if len(differences) != 1 || differences[0].Kind != kind || differences[0].What != what {
				t.Errorf("got %v, want one: %s %s", differences, kind, what)
			}
			if _, err := s.Apply(p, false); err != nil {
				return err
			}
			return noDifference(s, p)
		})
	})
}

// deleteRule removes a rule by its comment, as another program would.
func deleteRule(chain, id string) error {
	conn, err := nftables.New()
	if err != nil {
		return err
	}
	table := &nftables.Table{Family: nftables.TableFamilyINet, Name: plan.TableName}
	rules, err := conn.GetRules(table, &nftables.Chain{Name: chain})
	if err != nil {
		return err
	}
	for _, r := range rules {
		if strings.Contains(string(r.UserData), id+":") {
			r.Table, r.Chain = table, &nftables.Chain{Name: chain}
			if err := conn.DelRule(r); err != nil {
				return err
			}
			return conn.Flush()
		}
	}
	return fmt.Errorf("chain %s has no rule %s", chain, id)
}

// Edits by nft, each with the first difference verify must report.
func TestVerifyNamesForeignEdits(t *testing.T) {
	needNft(t)
	for edit, want := range map[string]string{
		"add rule inet pillion nat_out accept":                                                     "surplus rule",
		"insert rule inet pillion nat_out tcp dport 1 return comment \"output.capture.all: fake\"": "surplus rule output.capture.all",
		"insert rule inet pillion nat_out numgen random mod 2 0 return":                            "surplus rule",
		"add element inet pillion in_skip { 8080 }":                                                "altered set in_skip",
		"delete element inet pillion proxy_uids { 1337 }":                                          "altered set proxy_uids",
		"add set inet pillion more { type ipv4_addr; }":                                            "surplus set more",
		"add chain inet pillion more":                                                              "surplus chain more",
		"add counter inet pillion more":                                                            "surplus counter more",
		"add chain inet pillion nat_out { policy drop; }":                                          "altered chain nat_out",
		"add table inet pillion { flags dormant; }":                                                "altered table inet pillion",
		"flush chain inet pillion about":                                                           "altered chain about",
		"delete table inet pillion":                                                                "missing chain nat_in",
		"delete rule inet pillion nat_in handle HANDLE(nat_in:2)\nadd rule inet pillion nat_in meta l4proto tcp counter name \"prerouting.capture.all\" redirect to :15007 comment \"prerouting.capture.all: -b *\"":              "altered rule prerouting.capture.all",
		"delete rule inet pillion nat_in handle HANDLE(nat_in:1)\nadd rule inet pillion nat_in tcp dport @in_skip counter name \"prerouting.bypass.port\" return comment \"prerouting.bypass.port: -e, -d, excludeInboundPorts\"": "moved rule prerouting.bypass.port",
	} {
		ns := nstest.New(t)
		var p *plan.Plan
		var got []plan.Difference
		ns.Must(t, func() (err error) {
			if p, _, err = apply(injected); err != nil {
				return err
			}
			if edit, err = withHandles(edit); err != nil {
				return err
			}
			if err = load(edit); err != nil {
				return err
			}
			return with(func(s capture.System) error {
				if got, _, err = s.Diff(p); err != nil {
					return err
				}
				_, err = s.Apply(p, false)
				return errors.Join(err, noDifference(s, p))
			})
		})
		if len(got) == 0 || !strings.HasPrefix(got[0].String(), want) {
			t.Errorf("%s:\ngot %v\nwant %s", edit, got, want)
		}
	}
}

// withHandles replaces HANDLE(chain:n) by the handle of the chain's nth rule.
func withHandles(edit string) (string, error) {
	for {
		before, rest, found := strings.Cut(edit, "HANDLE(")
		if !found {
			return edit, nil
		}
		place, after, _ := strings.Cut(rest, ")")
		chain, number, _ := strings.Cut(place, ":")
		text, err := exec.Command("nft", "-a", "list", "chain", "inet", "pillion", chain).CombinedOutput()
		if err != nil {
			return "", err
		}
		_, handle, _ := strings.Cut(strings.Split(string(text), "\n")[2+int(number[0]-'0')], "# handle ")
		edit = before + handle + after
	}
}
