package capture

import (
	"errors"
	"fmt"
	"strings"

	"github.com/pillion-mesh/pillion/internal/capture/ipt"
	"github.com/pillion-mesh/pillion/internal/capture/nft"
	"github.com/pillion-mesh/pillion/internal/capture/plan"
	"github.com/pillion-mesh/pillion/internal/capture/text"
)

// Ask is what the user wants of the backend.
type Ask struct {
	Backend string      // nftables, iptables; "": whatever works
	Variant ipt.Variant // "": whatever works
}

// The backends as flags name them.
const (
	Nftables = "nftables"
	Iptables = "iptables"
)

// Backends are the ways to program rules.
type Backends struct {
	NFT      *nft.Backend // nil: the kernel has none,
	Lack     error        // and why
	Iptables func(ipt.Variant) (*ipt.Backend, error)
}

// Choice is the backend to use. If it wasn't asked for and the kernel can't do it, it becomes the next one that may:
// trying for real is the only probe without side effects, for a refused transaction leaves nothing.
type Choice struct {
	rungs []rung
	tried error // why those before are out
}

type rung struct {
	Backend
	why string
}

// Choose picks what was asked for, else the backend whose rules are there, else nftables, and then iptables.
// Without one, the System it gives back says so whenever it's asked.
func (s System) Choose(ask Ask) (System, *Choice, error) {
	b := *s.Backends
	there, err := s.look(b)
	if err != nil {
		s.Rules = none{err}
		return s, nil, err
	}
	choice := &Choice{}
	switch {
	case ask.Backend == Nftables:
		choice.add(b.NFT, b.Lack, "asked for")
	case ask.Backend == Iptables:
		choice.iptables(ask.Variant, there)
	case there.xtables.Own:
		choice.add(b.NFT, b.Lack, "its table is there")
	case len(there.xtables.Chains) > 0 && there.has(ipt.NFT):
		choice.variant(there, ipt.NFT, "its chains are there")
	case len(there.legacyChains) > 0:
		choice.variant(there, ipt.Legacy, "its chains are there")
	default:
		choice.add(b.NFT, b.Lack, "default")
		choice.variant(there, ipt.NFT, "fallback")
		choice.variant(there, ipt.Legacy, "fallback")
	}
	if len(choice.rungs) == 0 {
		err := fmt.Errorf("%w: %w", plan.ErrNoBackend, choice.tried)
		s.Rules = none{err}
		return s, nil, err
	}
	s.Rules, s.Stale = choice, there.stale(b)
	return s, choice, nil
}

// none is the backend where there is none.
type none struct{ error }

func (none) Name() string { return "none" }

func (n none) Compare(*plan.Ruleset, string) (nft.Report, error) { return nft.Report{}, n.error }

func (n none) Replace(*plan.Ruleset, string) error { return n.error }

func (c *Choice) iptables(variant ipt.Variant, there there) {
	switch {
	case variant == ipt.NFT, variant == "" && len(there.xtables.Chains) > 0:
		c.variant(there, ipt.NFT, "asked for")
	case variant == ipt.Legacy, variant == "" && len(there.legacyChains) > 0:
		c.variant(there, ipt.Legacy, "asked for")
	default:
		c.variant(there, ipt.NFT, "asked for")
		c.variant(there, ipt.Legacy, "asked for")
	}
}

func (c *Choice) variant(there there, variant ipt.Variant, why string) {
	b, lack := there.open(variant)
	c.add(b, lack, why)
}

// add puts a backend at the end, or remembers why it is none.
func (c *Choice) add(b Backend, lack error, why string) {
	if lack != nil {
		c.out(lack)
		return
	}
	c.rungs = append(c.rungs, rung{b, why})
}

// Name is that of the backend in use.
func (c *Choice) Name() string { return c.rungs[0].Name() }

// Why says what decided for it.
func (c *Choice) Why() string {
	if c.tried != nil {
		return c.rungs[0].why + ": " + c.tried.Error()
	}
	return c.rungs[0].why
}

// Compare implements Backend.
func (c *Choice) Compare(want *plan.Ruleset, about string) (nft.Report, error) {
	for {
		report, err := c.rungs[0].Compare(want, about)
		if err == nil || !c.next(err) {
			return report, c.whole(err)
		}
	}
}

// Replace implements Backend. What another backend is to write it reads first, in the caller's next Compare.
func (c *Choice) Replace(want *plan.Ruleset, about string) error {
	err := c.rungs[0].Replace(want, about)
	if err != nil && c.next(err) {
		return nil
	}
	return c.whole(err)
}

// Elements are what a live set holds in the kernel. Compare must have been called.
func (c *Choice) Elements(set string) ([]plan.Element, error) {
	sets, can := c.rungs[0].Backend.(interface {
		Elements(set string) ([]plan.Element, error)
	})
	if !can {
		return nil, fmt.Errorf("%w: %q", nft.ErrNoLiveSet, set)
	}
	return sets.Elements(set)
}

// whole tells with the last backend's error why those before are out.
func (c *Choice) whole(err error) error {
	if err == nil || c.tried == nil || errors.Is(err, nft.ErrPermission) {
		return err
	}
	return fmt.Errorf("%w: %w; %w", plan.ErrNoBackend, c.tried, err)
}

// next goes on to another backend if there is one and the error doesn't mean that it would fare alike.
func (c *Choice) next(err error) bool {
	_, isNFT := c.rungs[0].Backend.(*nft.Backend)
	if errors.Is(err, nft.ErrPermission) || (isNFT && !errors.Is(err, nft.ErrUnsupported)) || len(c.rungs) == 1 {
		return false
	}
	c.out(err)
	c.rungs = c.rungs[1:]
	return true
}

// out notes on one line why a backend is none; of many complaints the first is enough.
func (c *Choice) out(why error) {
	if joined, ok := why.(interface{ Unwrap() []error }); ok && strings.Contains(why.Error(), "\n") {
		why = joined.Unwrap()[0]
	}
	if c.tried == nil {
		c.tried = why
		return
	}
	c.tried = fmt.Errorf("%w; %w", c.tried, why)
}

// Iptables tells whether rules are written in iptables' language.
func (c *Choice) Iptables() bool { return c.Name() != Nftables }

// there is what earlier runs left. Variants of iptables are looked for when they're wanted: most runs want none.
type there struct {
	xtables      *nft.Xtables
	open         func(ipt.Variant) (*ipt.Backend, error)
	legacyChains []string
	legacyMarked bool
	legacyRemove func() error
}

func (t there) has(variant ipt.Variant) bool {
	_, lack := t.open(variant)
	return lack == nil
}

func (s System) look(b Backends) (t there, err error) {
	t.xtables, t.open = &nft.Xtables{}, b.Iptables
	if b.NFT != nil {
		t.xtables, err = b.NFT.FindXtables(text.Ours, text.Marks())
		switch {
		case errors.Is(err, nft.ErrUnsupported):
			t.xtables = &nft.Xtables{}
		case err != nil:
			return t, err
		}
	}
	if len(s.LegacyTables()) == 0 {
		return t, nil
	}
	if legacy, lack := t.open(ipt.Legacy); lack == nil {
		// Failing here means that we may not read them; evidence tells of the tables.
		t.legacyChains, t.legacyMarked, _ = legacy.Leftovers()
		t.legacyRemove = legacy.Remove
	}
	return t, nil
}
