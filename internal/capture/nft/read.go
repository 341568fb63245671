package nft

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/pillion-mesh/pillion/internal/capture/plan"
)

// state is what the kernel holds of our table, and what it tells of others.
type state struct {
	table    *nftables.Table // nil: there is none
	chains   []*nftables.Chain
	rules    map[string][]rule // by chain
	sets     []knownSet
	counters map[string]Counter
	foreign  []string
}

type knownSet struct {
	set   *nftables.Set
	spans []span
}

// readings bounds how often the table is read again because somebody changed it meanwhile.
const readings = 10

// readWhole reads the table as it was at one moment. ENOENT says that what was listed first is gone, EINTR that a list
// is torn.
func (b *Backend) readWhole() (have *state, err error) {
	for range readings {
		if have, err = b.readTable(); err == nil {
			return have, nil
		}
		if err := b.reopen(); err != nil {
			return nil, err
		}
		if !b.read || !isAny(err, unix.ENOENT, unix.EINTR) {
			break
		}
	}
	return nil, err
}

func (b *Backend) readTable() (*state, error) {
	s := &state{counters: map[string]Counter{}}
	tables, err := b.conn.ListTablesOfFamily(nftables.TableFamilyINet)
	if err != nil {
		return nil, fmt.Errorf("listing tables: %w", err)
	}
	b.read = true
	if i := slices.IndexFunc(tables, isOurs); i >= 0 {
		s.table = tables[i]
	}
	if err := b.readChains(s); err != nil || s.table == nil {
		return s, err
	}
	if s.rules, err = b.readRules(); err != nil {
		return nil, err
	}
	if err := b.readSets(s); err != nil {
		return nil, err
	}
	return s, b.readCounters(s)
}

func isOurs(t *nftables.Table) bool {
	return t.Family == nftables.TableFamilyINet && t.Name == plan.TableName
}

// readChains reads all tables' chains: others' tell whether somebody else redirects here too.
func (b *Backend) readChains(s *state) error {
	chains, err := b.conn.ListChains()
	if err != nil {
		return fmt.Errorf("listing chains: %w", err)
	}
	for _, c := range chains {
		if !isOurs(c.Table) {
			s.noteForeign(c)
			continue
		}
		s.chains = append(s.chains, c)
	}
	return nil
}

// noteForeign remembers chains that may redirect beside ours: destination NAT of others, and Istio's by name.
func (s *state) noteForeign(c *nftables.Chain) {
	redirects := c.Type == nftables.ChainTypeNAT && c.Hooknum != nil &&
		(*c.Hooknum == *nftables.ChainHookPrerouting || *c.Hooknum == *nftables.ChainHookOutput)
	if redirects || strings.HasPrefix(c.Name, "ISTIO_") || c.Name == "DNS_OUTPUT" {
		family := map[nftables.TableFamily]string{nftables.TableFamilyIPv4: "ip", nftables.TableFamilyIPv6: "ip6", nftables.TableFamilyINet: "inet"}[c.Table.Family]
		s.foreign = append(s.foreign, strings.TrimSpace(family+" "+c.Table.Name+" "+c.Name))
	}
}

func (b *Backend) readSets(s *state) error {
	sets, err := b.conn.GetSets(s.table)
	if err != nil {
		return fmt.Errorf("listing sets: %w", err)
	}
	for _, set := range sets {
		if _, live := plan.LiveKind(set.Name); live {
			s.sets = append(s.sets, knownSet{set: set}) // its elements are nobody's business here, and may be many
			continue
		}
		elems, err := b.conn.GetSetElements(set)
		if err != nil {
			return fmt.Errorf("reading set %s: %w", set.Name, err)
		}
		s.sets = append(s.sets, knownSet{set: set, spans: spansOf(elems, set.Interval)})
	}
	return nil
}

func (b *Backend) readCounters(s *state) error {
	objects, err := b.conn.GetNamedObjects(s.table)
	if err != nil {
		return fmt.Errorf("listing counters: %w", err)
	}
	for _, o := range objects {
		named, _ := o.(*nftables.NamedObj)
		if c, ok := named.Obj.(*expr.Counter); ok {
			s.counters[named.Name] = Counter{Packets: c.Packets, Bytes: c.Bytes}
		}
	}
	return nil
}
