// Package nft programs a plan's rules into the kernel by netlink, and reads them back: one table, inet pillion, written
// in one transaction. A plan.Ruleset comes in; differences and counters come out. It runs no other program and works in
// the network namespace of the thread that opens it. Read nft.go, then encode.go for the rules and read.go for the
// comparison's other side.
package nft

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"github.com/pillion-mesh/pillion/internal/capture/plan"
	"github.com/pillion-mesh/pillion/internal/capture/socket"
)

// Errors the kernel's answers are sorted into; anything else is passed on as it is.
var (
	ErrPermission  = errors.New("the kernel wants CAP_NET_ADMIN")
	ErrUnsupported = errors.New("this kernel can't do it")
)

// Backend is a netlink connection to one network namespace's nftables. Not safe for concurrent use.
type Backend struct {
	conn *nftables.Conn
	sock *socket.Socket
	have *state // as of the last Compare
}

// Open connects to the calling thread's network namespace.
func Open() (*Backend, error) {
	b := &Backend{}
	return b, b.open()
}

func (b *Backend) open() (err error) {
	if b.sock, err = socket.Open(unix.NETLINK_NETFILTER); err != nil {
		return classify("opening a netlink socket for netfilter", err)
	}
	b.conn, err = nftables.New(nftables.AsLasting(), nftables.WithTestDial(b.sock.Func()))
	return err
}

// Close ends the connection.
func (b *Backend) Close() error { return errors.Join(b.conn.CloseLasting(), b.sock.Close()) }

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
	have, err := b.read()
	if err != nil {
		return Report{}, errors.Join(classify("reading the nftables rules", err), b.reopen())
	}
	b.have = have
	return Report{Differences: have.compare(want, about), Counters: have.counters, Foreign: have.foreign}, nil
}

// Replace makes our table what want says, in one transaction: either all of it is in force afterwards or nothing
// changed. Counters of rules that stay keep counting. Compare must have been called.
func (b *Backend) Replace(want *plan.Ruleset, about string) error {
	t := &transaction{conn: b.conn, table: &nftables.Table{Family: nftables.TableFamilyINet, Name: plan.TableName}}
	if len(want.Chains) == 0 {
		t.conn.DelTable(t.table)
	} else if err := t.fill(b.have, want, about); err != nil {
		return errors.Join(fmt.Errorf("encoding the rules: %w", err), b.reopen())
	}
	if err := b.conn.Flush(); err != nil {
		return errors.Join(classify(fmt.Sprintf("writing %d nftables rules", countRules(want)), err), b.reopen())
	}
	return nil
}

func countRules(want *plan.Ruleset) int {
	n := 0
	for _, c := range want.Chains {
		n += len(c.Rules)
	}
	return n
}

// classify sorts an error of the kernel. EINVAL on reading is what nfnetlink answers for a subsystem it doesn't know.
func classify(doing string, err error) error {
	switch {
	case errors.Is(err, syscall.EPERM), errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%s: %w (%w)", doing, ErrPermission, err)
	case isAny(err, syscall.EOPNOTSUPP, syscall.EPROTONOSUPPORT, syscall.EAFNOSUPPORT, syscall.ENOENT, syscall.EINVAL):
		return fmt.Errorf("%s: %w (%w)", doing, ErrUnsupported, err)
	default:
		return fmt.Errorf("%s: %w", doing, err)
	}
}

func isAny(err error, targets ...error) bool {
	for _, target := range targets {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}
