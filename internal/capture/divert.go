package capture

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"syscall"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/pillion-mesh/pillion/internal/capture/nft"
	"github.com/pillion-mesh/pillion/internal/capture/plan"
	"github.com/pillion-mesh/pillion/internal/capture/socket"
)

// Divert is one half of what TPROXY needs of routing in one family: the policy rule by which packets with the mark use
// the table, or the route in that table by which they stay on this host.
type Divert struct {
	V4, Route bool
	Mark      uint32 // of the rule
	Table     uint32
}

// String is how ip writes it.
func (d Divert) String() string {
	family := map[bool]string{true: "ipv4", false: "ipv6"}[d.V4]
	if d.Route {
		return fmt.Sprintf("route local default dev lo table %d, %s", d.Table, family)
	}
	return fmt.Sprintf("policy rule fwmark 0x%x lookup %d, %s", d.Mark, d.Table, family)
}

// Routes are the policy rules and routes of the namespace.
type Routes interface {
	Diverts() ([]Divert, error) // those that are capture's, in any order; a rule that is there twice is listed twice
	AddDivert(Divert) error
	RemoveDivert(Divert) error
}

// divertsOf are what a plan needs.
func divertsOf(p *plan.Plan) []Divert {
	var list []Divert
	for _, v4 := range []bool{true, false} {
		if p.In.Via == plan.TProxy && (v4 && p.Families.V4 || !v4 && p.Families.V6) {
			list = append(list, Divert{V4: v4, Route: true, Table: p.In.Table}, Divert{V4: v4, Mark: p.In.Mark, Table: p.In.Table})
		}
	}
	return list
}

// divertProtocol marks rules and routes as ours, whatever their numbers are: a run with other numbers takes them away.
// The kernel leaves numbers above 127 to whoever wants one.
const divertProtocol = 133

// Istio's have no protocol of their own, but always these numbers.
const (
	istioMark  = 1337
	istioTable = 133
)

// Attributes of policy rules (linux/fib_rules.h) that x/sys doesn't name.
const (
	fraFwmark   = 10
	fraTable    = 15
	fraFwmask   = 16
	fraProtocol = 21
	actToTable  = 1
)

// Diverts lists the rules and routes that are ours, or Istio's by their numbers.
func (l *NetlinkLinks) Diverts() ([]Divert, error) {
	var list []Divert
	for _, kind := range []netlink.HeaderType{unix.RTM_GETRULE, unix.RTM_GETROUTE} {
		answers, err := l.ask(kind, netlink.Dump, make([]byte, unix.SizeofRtMsg))
		if err != nil {
			return nil, fmt.Errorf("listing policy rules and routes: %w", err)
		}
		for _, m := range answers {
			if d, ours := divertOf(m.Data, kind == unix.RTM_GETROUTE); ours {
				list = append(list, d)
			}
		}
	}
	return list, nil
}

// divertOf reads a rule or a route: both start with a header of the same size and attributes of one kind.
func divertOf(data []byte, route bool) (d Divert, ours bool) {
	if len(data) < unix.SizeofRtMsg {
		return d, false
	}
	family, bits, table, protocol, kind := data[0], data[1], data[4], data[5], data[7]
	d = Divert{V4: family == unix.AF_INET, Route: route, Table: uint32(table)}
	numbers := numbersOf(data[unix.SizeofRtMsg:])
	if t, ok := numbers[fraTable]; ok { // RTA_TABLE has the same number
		d.Table = t
	}
	if family != unix.AF_INET && family != unix.AF_INET6 {
		return d, false
	}
	if route {
		return d, kind == unix.RTN_LOCAL && bits == 0 && (protocol == divertProtocol || d.Table == istioTable)
	}
	d.Mark = numbers[fraFwmark]
	istios := d.Mark == istioMark && d.Table == istioTable
	return d, kind == actToTable && (numbers[fraProtocol] == divertProtocol || istios)
}

// numbersOf are the attributes of 1 and 4 bytes; what can't be decoded isn't ours.
func numbersOf(attributes []byte) map[uint16]uint32 {
	numbers := make(map[uint16]uint32, 8)
	for len(attributes) > 0 {
		a, rest, err := socket.Next(attributes)
		if err != nil {
			break
		}
		attributes = rest
		switch len(a.Data) {
		case 1:
			numbers[a.Kind] = uint32(a.Data[0])
		case 4:
			numbers[a.Kind] = binary.NativeEndian.Uint32(a.Data)
		}
	}
	return numbers
}

// AddDivert adds a rule or a route; one that is there already is fine.
func (l *NetlinkLinks) AddDivert(d Divert) error {
	kind := netlink.HeaderType(unix.RTM_NEWRULE)
	if d.Route {
		kind = unix.RTM_NEWROUTE
	}
	err := l.divert(kind, netlink.Create|netlink.Excl, d, divertProtocol)
	if err != nil && !errors.Is(err, syscall.EEXIST) {
		return fmt.Errorf("adding %s: %w", d, err)
	}
	return nil
}

// RemoveDivert removes a rule or a route, whoever made it; one that is gone already is fine.
func (l *NetlinkLinks) RemoveDivert(d Divert) error {
	kind := netlink.HeaderType(unix.RTM_DELRULE)
	if d.Route {
		kind = unix.RTM_DELROUTE
	}
	err := l.divert(kind, 0, d, 0)
	if err != nil && !errors.Is(err, syscall.ENOENT) && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("removing %s: %w", d, err)
	}
	return nil
}

func (l *NetlinkLinks) divert(kind netlink.HeaderType, flags netlink.HeaderFlags, d Divert, protocol uint8) error {
	family := byte(unix.AF_INET6)
	if d.V4 {
		family = unix.AF_INET
	}
	number := func(kind uint16, n uint32) netlink.Attribute {
		return netlink.Attribute{Type: kind, Data: binary.NativeEndian.AppendUint32(nil, n)}
	}
	list := []netlink.Attribute{number(fraTable, d.Table)}
	header := []byte{family, 0, 0, 0, unix.RT_TABLE_UNSPEC, 0, 0, actToTable, 0, 0, 0, 0}
	if d.Route {
		header[5], header[6], header[7] = protocol, unix.RT_SCOPE_HOST, unix.RTN_LOCAL
		list = append(list, number(unix.RTA_OIF, loopbackIndex))
	} else {
		list = append(list, number(fraFwmark, d.Mark), number(fraFwmask, 1<<32-1))
		if protocol != 0 {
			list = append(list, netlink.Attribute{Type: fraProtocol, Data: []byte{protocol}})
		}
	}
	attributes, err := netlink.MarshalAttributes(list)
	if err != nil {
		return err
	}
	if _, err = l.ask(kind, netlink.Acknowledge|flags, slices.Concat(header, attributes)); errors.Is(err, syscall.EPERM) {
		return fmt.Errorf("%w (%w)", nft.ErrPermission, err)
	}
	return err
}
