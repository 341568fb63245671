package nft

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"github.com/mdlayher/netlink"
	"github.com/mdlayher/netlink/nltest"

	"github.com/pillion-mesh/pillion/internal/capture/nstest"
	"github.com/pillion-mesh/pillion/internal/capture/plan"
)

// kernel answers requests: lists are empty, what isn't a list is answered by write. The first torn lists change while
// they're listed.
type kernel struct {
	list, write syscall.Errno
	torn        int
	asked       []netlink.Message
	writes      int
}

func (k *kernel) Close() error { return nil }

func (k *kernel) Ask(kind netlink.HeaderType, flags netlink.HeaderFlags, data []byte) ([]netlink.Message, error) {
	return nltest.Dial(k.Func()).Execute(netlink.Message{Header: netlink.Header{Type: kind, Flags: netlink.Request | flags}, Data: data})
}

func (k *kernel) Func() nltest.Func {
	return func(requests []netlink.Message) ([]netlink.Message, error) {
		for _, r := range requests {
			if r.Header.Flags&(netlink.Dump|netlink.Acknowledge) != 0 {
				k.asked = append(k.asked, r)
			}
		}
		if requests != nil {
			return nil, nil
		}
		return k.answer()
	}
}

func (k *kernel) answer() ([]netlink.Message, error) {
	request := k.asked[0]
	k.asked = k.asked[1:]
	errno := k.list
	if k.torn > 0 {
		k.torn--
		return nil, fmt.Errorf("torn: %w", syscall.EINTR)
	}
	if request.Header.Flags&netlink.Dump != netlink.Dump {
		errno = k.write
		k.writes++
	}
	if errno == 0 && request.Header.Flags&netlink.Dump == netlink.Dump {
		request.Header.Type, request.Header.Flags, request.Data = netlink.Done, netlink.Multi, nil
		return []netlink.Message{request}, nil
	}
	request.Header.Flags = 0
	return nltest.Error(int(errno), []netlink.Message{request})
}

func (k *kernel) backend() (*Backend, error) {
	b := &Backend{dial: func() (wire, error) { k.asked = nil; return k, nil }}
	return b, b.open()
}

func ruleset() *plan.Ruleset {
	p := &plan.Plan{
		Families: plan.Families{V4: true, V6: true}, Loopback: netip.MustParsePrefix("127.0.0.0/8"), Proxy: plan.Identity{UIDs: []uint32{1337}},
		In:  plan.Inbound{Via: plan.Redirect, Port: 15006, Tunnel: 15008, Ports: plan.Ports{List: []plan.Range{{Lo: 80, Hi: 90}, {Lo: 443, Hi: 443}}}},
		Out: plan.Outbound{Via: plan.Redirect, Port: 15001, CIDRs: plan.Prefixes{All: true}},
	}
	return p.Rules()
}

// The same number means a kernel without nftables, a kernel without a module, or nothing of the kind.
func TestWhoIsToBlame(t *testing.T) {
	for name, c := range map[string]struct {
		kernel kernel
		blamed error // nil: neither rights nor kernel
		text   string
	}{
		"no nftables":               {kernel{list: syscall.EINVAL}, ErrUnsupported, "reading"},
		"no netfilter":              {kernel{list: syscall.EPROTONOSUPPORT}, ErrUnsupported, "reading"},
		"may not read":              {kernel{list: syscall.EPERM}, ErrPermission, "reading"},
		"no memory to read":         {kernel{list: syscall.ENOMEM}, nil, "ENOMEM"},
		"not even a trial table":    {kernel{write: syscall.ENOENT}, ErrUnsupported, "writing table inet pillion"},
		"no family inet":            {kernel{write: syscall.EOPNOTSUPP}, ErrUnsupported, "writing table inet pillion"},
		"may read, but not write":   {kernel{write: syscall.EPERM}, ErrPermission, "writing table inet pillion"},
		"a refusal of another kind": {kernel{write: syscall.EEXIST}, nil, "EEXIST"},
	} {
		b, err := c.kernel.backend()
		if err == nil {
			_, err = b.Compare(ruleset(), "test")
		}
		if err == nil {
			err = b.Replace(ruleset(), "test")
		}
		for _, blamed := range []error{ErrPermission, ErrUnsupported} {
			if errors.Is(err, blamed) != errors.Is(c.blamed, blamed) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if err == nil || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v doesn't say %q", name, err, c.text)
		}
	}
}

// A kernel that has answered once knows nftables, whatever it says later.
func TestLaterReadsBlameNoKernel(t *testing.T) {
	k := &kernel{}
	b, err := k.backend()
	if err == nil {
		_, err = b.Compare(ruleset(), "test")
	}
	if err != nil {
		t.Fatal(err)
	}
	k.list = syscall.EINVAL
	if _, err = b.Compare(ruleset(), "test"); err == nil || errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "EINVAL") {
		t.Errorf("got %v", err)
	}
}

// Others change iptables' rules while they're looked at: then they're looked at again, but not for ever.
func TestXtablesAreReadAgain(t *testing.T) {
	for torn, works := range map[int]bool{0: true, 1: true, readings - 1: true, readings: false} {
		k := &kernel{torn: torn}
		b, err := k.backend()
		if err != nil {
			t.Fatal(err)
		}
		x, err := b.FindXtables(func(string) bool { return true }, nil)
		if works != (err == nil) || works && x == nil || !works && !errors.Is(err, syscall.EINTR) {
			t.Errorf("%d torn lists: %v, %v", torn, x, err)
		}
	}
}

// After an error the connection is made anew; if it can't be, there is nothing left to close.
func TestReopenFails(t *testing.T) {
	k := &kernel{}
	b, err := k.backend()
	if err != nil {
		t.Fatal(err)
	}
	k.list = syscall.EINVAL
	b.dial = func() (wire, error) { return nil, syscall.EMFILE }
	if _, err = b.Compare(ruleset(), "test"); !errors.Is(err, syscall.EMFILE) {
		t.Errorf("got %v", err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

// everything does all that a kernel may have no module for.
func everything() []plan.Chain {
	var rules []plan.Rule
	for _, kind := range []plan.ActionKind{plan.DoDNAT, plan.DoTProxy, plan.DoZone, plan.DoRestoreMark} {
		rules = append(rules, plan.Rule{Do: plan.Action{Kind: kind}})
	}
	return []plan.Chain{{Rules: rules}}
}

// What a plan doesn't do isn't tried: no kernel is blamed for that.
func TestTrials(t *testing.T) {
	if n := len(trials(&plan.Ruleset{Chains: everything()})); n != 5 {
		t.Errorf("%d trials of 5", n)
	}
	if n := len(trials(ruleset())); n != 1 {
		t.Errorf("%d trials of a redirect", n)
	}
}

// The kernel's own ENOENT and EINVAL: somebody removed the table in between, or we asked for nonsense.
func TestRacesBlameNoKernel(t *testing.T) {
	ns := nstest.New(t)
	ns.Must(t, func() error {
		first, err := Open()
		if err != nil {
			return err
		}
		defer first.Close()
		second, err := Open()
		if err != nil {
			return err
		}
		defer second.Close()
		write := func(b *Backend, want *plan.Ruleset) error {
			if _, err := b.Compare(want, "test"); err != nil {
				return err
			}
			return b.Replace(want, "test")
		}
		if err := write(first, ruleset()); err != nil {
			return err
		}
		if _, err := first.Compare(ruleset(), "test"); err != nil {
			return err
		}
		if err := write(second, &plan.Ruleset{}); err != nil {
			return err
		}
		err = first.Replace(ruleset(), "test")
		if !errors.Is(err, syscall.ENOENT) || errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "writing table inet pillion") {
			t.Errorf("the table was removed in between: %v", err)
		}
		nonsense := ruleset()
		nonsense.Chains[0].Priority = -300 // before connection tracking, where there is no NAT
		if err = write(first, nonsense); !isLack(err) || errors.Is(err, ErrUnsupported) {
			t.Errorf("nonsense: %v", err)
		}
		if first.lacks(&plan.Ruleset{Chains: everything()}) {
			t.Error("this kernel lacks what every other test uses")
		}
		tables, err := first.conn.ListTables()
		if len(tables) != 0 {
			t.Errorf("a trial left %v", tables)
		}
		return errors.Join(err, write(first, ruleset()))
	})
}

// A table that comes and goes is read as it was at one moment, with all its rules or not at all.
func TestReadingBesideWhoDeletes(t *testing.T) {
	ns := nstest.New(t)
	whole := ruleset()
	write := func(want *plan.Ruleset) error {
		b, err := Open()
		if err != nil {
			return err
		}
		defer b.Close()
		_, err = b.Compare(want, "test")
		return errors.Join(err, b.Replace(want, "test"))
	}
	writing := make(chan struct{})
	writer := ns.Thread(func() (err error) {
		defer close(writing)
		for range 200 {
			err = errors.Join(err, write(whole), write(&plan.Ruleset{}))
		}
		return err
	})
	ns.Must(t, func() error {
		b, err := Open()
		if err != nil {
			return err
		}
		defer b.Close()
		seen := map[bool]int{}
		for {
			report, err := b.Compare(whole, "test")
			if err != nil {
				return fmt.Errorf("after %v: %w", seen, err)
			}
			seen[len(report.Differences) == 0]++
			select {
			case <-writing:
				t.Logf("whole: %d times, not: %d times", seen[true], seen[false])
				return nil
			default:
			}
		}
	})
	if err := <-writer; err != nil {
		t.Error(err)
	}
}
