package nft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"github.com/mdlayher/netlink/nltest"
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
		b.heard = nil
		if have, err = b.readTable(); err == nil {
			return have, nil
		}
		if err := b.reopen(); err != nil {
			return nil, err
		}
		if !b.read || !b.isAny(err, unix.ENOENT, unix.EINTR) {
			break
		}
	}
	return nil, err
}

func (b *Backend) readTable() (*state, error) {
	s := &state{counters: map[string]Counter{}}
	var tables []*nftables.Table
	err := b.untorn(func() (err error) {
		tables, err = b.conn.ListTablesOfFamily(nftables.TableFamilyINet)
		return err
	})
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
	err = b.untorn(func() (err error) {
		s.rules, err = b.readRules()
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := b.readSets(s); err != nil {
		return nil, err
	}
	return s, b.readCounters(s)
}

// hear remembers the kernel's last error: of some lists the library passes on no more than its text.
func (b *Backend) hear(carry nltest.Func) nltest.Func {
	return func(requests []netlink.Message) ([]netlink.Message, error) {
		answers, err := carry(requests)
		if said := errors.Join(err, saidIn(answers)); said != nil {
			b.heard = said
		}
		return answers, err
	}
}

// saidIn returns the error among answers: NLMSG_ERROR, or the end of a list, with a negative number in front.
func saidIn(answers []netlink.Message) error {
	for _, m := range answers {
		if m.Header.Type != netlink.Error && m.Header.Type != netlink.Done || len(m.Data) < 4 {
			continue
		}
		if number := int32(binary.NativeEndian.Uint32(m.Data)); number < 0 {
			return unix.Errno(-number)
		}
	}
	return nil
}

func (b *Backend) isAny(err error, targets ...error) bool {
	return err != nil && (isAny(err, targets...) || isAny(b.heard, targets...))
}

// relistings bounds how often one list is read again. The kernel calls a list torn too if something changed just after
// its end, so most are while live sets are being filled without pause; reading one again takes some 100 µs.
const relistings = 200

// untorn repeats one list as long as it is torn.
func (b *Backend) untorn(list func() error) (err error) {
	for range relistings {
		b.heard = nil
		if err = list(); err == nil || !b.isAny(err, unix.EINTR) {
			return err
		}
		if err := b.reopen(); err != nil {
			return err
		}
	}
	return err
}

func isOurs(t *nftables.Table) bool {
	return t.Family == nftables.TableFamilyINet && t.Name == plan.TableName
}

// readChains reads all tables' chains: others' tell whether somebody else redirects here too.
func (b *Backend) readChains(s *state) error {
	var chains []*nftables.Chain
	err := b.untorn(func() (err error) {
		chains, err = b.conn.ListChains()
		return err
	})
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
	var sets []*nftables.Set
	err := b.untorn(func() (err error) {
		sets, err = b.conn.GetSets(s.table)
		return err
	})
	if err != nil {
		return fmt.Errorf("listing sets: %w", err)
	}
	for _, set := range sets {
		if _, live := plan.LiveKind(set.Name); live {
			s.sets = append(s.sets, knownSet{set: set}) // its elements are nobody's business here, and may be many
			continue
		}
		var elems []nftables.SetElement
		err := b.untorn(func() (err error) {
			elems, err = b.conn.GetSetElements(set)
			return err
		})
		if err != nil {
			return fmt.Errorf("reading set %s: %w", set.Name, err)
		}
		s.sets = append(s.sets, knownSet{set: set, spans: spansOf(elems, set.Interval)})
	}
	return nil
}

func (b *Backend) readCounters(s *state) error {
	var objects []nftables.Obj
	err := b.untorn(func() (err error) {
		objects, err = b.conn.GetNamedObjects(s.table)
		return err
	})
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
