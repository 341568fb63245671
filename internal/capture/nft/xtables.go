package nft

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
	"golang.org/x/sys/unix"
)

// Xtables is what iptables' nft variant left in its tables under names of capture's: found and removed by netlink, for
// the image may have no iptables.
type Xtables struct {
	Own    bool // our own table is there, not iptables'
	Marked bool // by a comment of ours; else Istio or TSF may have made it
	Chains []string

	chains []*nftables.Chain
	jumps  []*nftables.Rule
	empty  []*nftables.Table // hold nothing else
}

// FindXtables looks for chains with these names in the tables of family ip and ip6, for rules of others that go
// there, and for these comments. It looks again if somebody changed them meanwhile.
func (b *Backend) FindXtables(ours func(chain string) bool, marks []string) (x *Xtables, err error) {
	for range readings {
		b.heard = nil
		x, err = b.findXtables(ours, marks)
		again := err != nil && (b.isAny(err, unix.EINTR) || b.read && b.isAny(err, unix.ENOENT))
		if !again {
			break
		}
		if err := b.reopen(); err != nil {
			return nil, err
		}
	}
	return x, err
}

func (b *Backend) findXtables(ours func(chain string) bool, marks []string) (*Xtables, error) {
	all, err := b.conn.ListChains()
	if err != nil {
		return nil, classify("listing chains", err, !b.read && isLack(err))
	}
	b.read = true
	x := &Xtables{}
	var tables []*nftables.Table
	for _, c := range all {
		x.Own = x.Own || isOurs(c.Table)
		if !ours(c.Name) || (c.Table.Family != nftables.TableFamilyIPv4 && c.Table.Family != nftables.TableFamilyIPv6) {
			continue
		}
		x.chains = append(x.chains, c)
		x.Chains = append(x.Chains, fmt.Sprintf("%s %s %s", map[nftables.TableFamily]string{nftables.TableFamilyIPv4: "ip", nftables.TableFamilyIPv6: "ip6"}[c.Table.Family], c.Table.Name, c.Name))
		if !slices.ContainsFunc(tables, func(t *nftables.Table) bool { return sameTable(t, c.Table) }) {
			tables = append(tables, c.Table)
		}
	}
	for _, t := range tables {
		if err := b.findJumps(x, t, all, ours, marks); err != nil {
			return nil, err
		}
	}
	return x, nil
}

func sameTable(a, b *nftables.Table) bool { return a.Family == b.Family && a.Name == b.Name }

// findJumps goes through the chains of a table: those that aren't ours may lead there, and any may have a mark.
func (b *Backend) findJumps(x *Xtables, t *nftables.Table, all []*nftables.Chain, ours func(string) bool, marks []string) error {
	empty := true
	for _, c := range all {
		if !sameTable(c.Table, t) {
			continue
		}
		rules, err := b.conn.GetRules(t, c)
		if err != nil {
			return fmt.Errorf("listing the rules of %s %s: %w", t.Name, c.Name, err)
		}
		x.Marked = x.Marked || slices.ContainsFunc(rules, func(r *nftables.Rule) bool {
			_, comment := readRule(r)
			return slices.Contains(marks, comment)
		})
		if ours(c.Name) {
			continue
		}
		empty = empty && c.Hooknum != nil && (c.Policy == nil || *c.Policy == nftables.ChainPolicyAccept)
		for _, r := range rules {
			target, _ := readRule(r)
			if !ours(target) {
				empty = false
				continue
			}
			x.jumps = append(x.jumps, r)
		}
	}
	if empty {
		x.empty = append(x.empty, t)
	}
	return nil
}

// readRule tells where a rule of iptables' goes, and its comment.
func readRule(r *nftables.Rule) (target, comment string) {
	for _, e := range r.Exprs {
		switch e := e.(type) {
		case *expr.Verdict:
			target = e.Chain
		case *expr.Match:
			if c, ok := e.Info.(*xt.Comment); ok {
				comment = strings.TrimRight(string(*c), "\x00")
			}
		}
	}
	return target, comment
}

// RemoveXtables takes away what was found, in one transaction.
func (b *Backend) RemoveXtables(x *Xtables) error {
	for _, r := range x.jumps {
		if err := b.conn.DelRule(r); err != nil {
			return err
		}
	}
	for _, c := range x.chains {
		b.conn.FlushChain(c)
	}
	for _, c := range x.chains {
		b.conn.DelChain(c)
	}
	for _, t := range x.empty {
		b.conn.DelTable(t)
	}
	if err := b.conn.Flush(); err != nil {
		return classify("removing the chains of iptables-nft", err, false)
	}
	return nil
}
