// Package nft programs a plan's rules into the kernel by netlink, and reads them back: one table, inet pillion, written
// in one transaction. A plan.Ruleset comes in; differences and counters come out. It runs no other program and works in
// the network namespace of the thread that opens it. Read nft.go, then encode.go for the rules and read.go for the
// comparison's other side.
package nft

import (
	"errors"
	"fmt"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"github.com/mdlayher/netlink/nltest"
	"golang.org/x/sys/unix"

	"github.com/pillion-mesh/pillion/internal/capture/plan"
	"github.com/pillion-mesh/pillion/internal/capture/socket"
)

// Backend is a netlink connection to one network namespace's nftables. Not safe for concurrent use; every call must come
// from a thread in that namespace, for after an error the connection is made anew.
type Backend struct {
	dial func() (wire, error)
	conn *nftables.Conn
	sock wire
	have *state // as of the last Compare
	read bool   // the kernel has answered once: it knows nftables

	heard error // the kernel's last one
}

// wire carries requests to the kernel and answers back; *socket.Socket is one.
type wire interface {
	Func() nltest.Func
	Ask(kind netlink.HeaderType, flags netlink.HeaderFlags, data []byte) ([]netlink.Message, error)
	Close() error
}

// Open connects to the calling thread's network namespace.
func Open() (*Backend, error) {
	b := &Backend{dial: func() (wire, error) { return socket.Open(unix.NETLINK_NETFILTER) }}
	return b, b.open()
}

func (b *Backend) open() (err error) {
	sock, err := b.dial()
	if err != nil {
		return classify("opening a netlink socket for netfilter", err, isLack(err))
	}
	b.sock = sock
	b.conn, err = nftables.New(nftables.AsLasting(), nftables.WithTestDial(b.hear(b.sock.Func())))
	return err
}

// Close ends the connection. It may be closed already, if it couldn't be reopened.
func (b *Backend) Close() error {
	if b.sock == nil {
		return nil
	}
	err := errors.Join(b.conn.CloseLasting(), b.sock.Close())
	b.sock = nil
	return err
}

// reopen drops answers still under way: after an error they'd be taken for those of the next request.
func (b *Backend) reopen() error { return errors.Join(b.Close(), b.open()) }

// Name is the backend's name in evidence and flags.
func (b *Backend) Name() string { return "nftables" }

// Report is what the kernel holds, compared with what was wanted.
type Report struct {
	Differences []plan.Difference
	Counters    map[string]Counter // by rule id
	Foreign     []string           // what others programmed that may redirect too
}

// Counter counts connections: the rules are of type nat.
type Counter struct {
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
}

// Compare reads our table back and holds it against want, in order. It writes nothing.
func (b *Backend) Compare(want *plan.Ruleset, about string) (Report, error) {
	have, err := b.readWhole()
	if err != nil {
		return Report{}, classify("reading the nftables rules", err, !b.read && isLack(err))
	}
	b.have = have
	return Report{Differences: have.compare(want, about), Counters: have.counters, Foreign: have.foreign}, nil
}

// Replace makes our table what want says. The rules change in one transaction: all of them or none are in force; lists
// that change while rules use them take a second one. Counters of rules that stay keep counting. Compare must have been
// called.
func (b *Backend) Replace(want *plan.Ruleset, about string) error {
	for i, step := range b.have.steps(want) {
		if i > 0 {
			have, err := b.readWhole()
			if err != nil {
				return classify("reading the nftables rules", err, false)
			}
			b.have = have
		}
		_ = b.prepare(step) // what it couldn't make is made with the rules
		if err := b.write(step, about); err != nil {
			return err
		}
	}
	return nil
}

// write changes the rules in one transaction.
func (b *Backend) write(want *plan.Ruleset, about string) error {
	t := b.transaction(plan.TableName)
	if len(want.Chains) == 0 {
		t.conn.DelTable(t.table)
	} else if err := t.fill(b.have, want, about); err != nil {
		return errors.Join(fmt.Errorf("encoding the rules: %w", err), b.reopen())
	}
	if err := b.conn.Flush(); err != nil {
		reopened := b.reopen()
		lacks := isLack(err) && reopened == nil && b.lacks(want)
		doing := fmt.Sprintf("writing table inet %s with %d rules", plan.TableName, countRules(want))
		return errors.Join(classify(doing, err, lacks), reopened)
	}
	return nil
}

func (b *Backend) transaction(table string) *transaction {
	return &transaction{conn: b.conn, table: &nftables.Table{Family: nftables.TableFamilyINet, Name: table}}
}

func countRules(want *plan.Ruleset) int {
	n := 0
	for _, c := range want.Chains {
		n += len(c.Rules)
	}
	return n
}
