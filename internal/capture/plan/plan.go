// Package plan decides what happens to a pod's connections: command line and environment in, a Plan out, and from it
// the rules every backend programs (Rules) and the way of one packet through them (Eval). It changes nothing and reads
// nothing of the machine; it builds on every OS. Read plan.go for the model, then build.go, rules.go
// and stages.go; flags.go is the command line.
package plan

import (
	"fmt"
	"hash/fnv"
	"net/netip"
	"strings"

	"github.com/pillion-mesh/pillion/internal/capture/jsontext"
)

// Mode says what happens to a connection no rule speaks of.
type Mode string

// All captures everything that isn't bypassed. Listed leaves everything alone that isn't in a live set.
const (
	All    Mode = "all"
	Listed Mode = "listed"
)

// Via is how captured connections reach the proxy.
type Via string

// Redirect rewrites the destination to a local port, DNAT to an address and port; TProxy hands the packet to the proxy's
// socket as it is. None captures nothing.
const (
	Redirect Via = "redirect"
	DNAT     Via = "dnat"
	TProxy   Via = "tproxy"
	None     Via = "none"
)

// Families says which IP families the plan covers. They are decided before planning.
type Families struct {
	V4 bool `json:"v4"`
	V6 bool `json:"v6"`
}

// String is the form of the evidence line: "ipv4,ipv6".
func (f Families) String() string {
	var names []string
	if f.V4 {
		names = append(names, "ipv4")
	}
	if f.V6 {
		names = append(names, "ipv6")
	}
	return strings.Join(names, ",")
}

// Plan is everything capture does in one network namespace. It is immutable once built.
type Plan struct {
	Mode     Mode         `json:"mode"`
	Families Families     `json:"families"`
	Proxy    Identity     `json:"proxy"`
	In       Inbound      `json:"in"`
	Out      Outbound     `json:"out"`
	DNS      DNS          `json:"dns,omitzero"`
	Loopback netip.Prefix `json:"loopback"` // IPv4 destinations never captured, 127.0.0.1/32
	Bypass   []Bypass     `json:"bypass,omitempty"`

	DropInvalid bool `json:"dropInvalid,omitempty"` // drop what conntrack calls INVALID, of every protocol
	LateArming  bool `json:"lateArming,omitempty"`  // nothing is captured but the protocols in live set "armed"

	First Contents `json:"first,omitzero"` // of the live sets when they're made; not part of the fingerprint
	Given Given    `json:"-"`              // lists as the user wrote them; not part of the fingerprint either
}

// Identity tells the proxy's own packets: any of the lists makes a packet the proxy's. The owner of a packet is the
// file-system UID and GID of the thread that created the socket.
type Identity struct {
	UIDs []uint32 `json:"uids"`
	GIDs []uint32 `json:"gids"`
	Mark *Mark    `json:"mark,omitempty"`
}

// Mark is a packet mark and the bits of it that count.
type Mark struct {
	Value uint32 `json:"value"`
	Mask  uint32 `json:"mask"`
}

// Inbound is what happens to connections that arrive.
type Inbound struct {
	Via    Via    `json:"via"`
	Port   uint16 `json:"port"`
	Tunnel uint16 `json:"tunnel"` // HBONE: never captured, never hairpinned
	Ports  Ports  `json:"ports"`
	Mark   uint32 `json:"mark,omitempty"`  // TProxy: of packets that are diverted to the proxy
	Table  uint32 `json:"table,omitempty"` // TProxy: the routing table packets with that mark use
}

// Outbound is what happens to connections made here.
type Outbound struct {
	Via   Via      `json:"via"`
	Port  uint16   `json:"port"`
	CIDRs Prefixes `json:"cidrs"`
	Ports []Range  `json:"ports,omitempty"` // captured whatever the address

	To4     netip.Addr `json:"to4,omitzero"`      // DNAT: the proxy's address, valid if the family is the plan's
	To6     netip.Addr `json:"to6,omitzero"`      // the same
	Owners  Owners     `json:"owners,omitzero"`   // whose connections are captured at all
	Virtual []string   `json:"virtual,omitempty"` // interfaces; what arrives on them counts as outbound
}

// Owners narrows down whose connections are captured, by the group of the socket.
type Owners struct {
	Groups  []uint32 `json:"groups,omitempty"`  // only these; empty: everybody's
	Exclude []uint32 `json:"exclude,omitempty"` // not these
}

// DNS is what happens to queries to port 53, over UDP and TCP.
type DNS struct {
	Via     Via          `json:"via,omitempty"` // Redirect or DNAT; "" or None: they aren't captured
	Port    uint16       `json:"port,omitempty"`
	All     bool         `json:"all,omitempty"`     // to any server, else to Servers
	Servers []netip.Addr `json:"servers,omitempty"` // sorted
	Zones   bool         `json:"zones,omitempty"`   // the proxy's queries and the application's are tracked apart
}

// Contents are the first elements of the live sets.
type Contents struct {
	In  []netip.AddrPort `json:"in,omitempty"`  // of in4 and in6
	Out []netip.Addr     `json:"out,omitempty"` // of vip4 and vip6

	Armed []Element `json:"armed,omitempty"` // of armed; rules are made disarmed, so it's only for questions to Eval
}

// Add puts elements where their kind belongs.
func (c *Contents) Add(list []Element) {
	for _, e := range list {
		switch {
		case e.Proto != 0:
			c.Armed = append(c.Armed, e)
		case e.Port != 0:
			c.In = append(c.In, netip.AddrPortFrom(e.Addr, e.Port))
		default:
			c.Out = append(c.Out, e.Addr)
		}
	}
}

// Stage is a step on a packet's way; stages are passed in this order, and the first rule that decides ends it.
type Stage string

// The stages this plan knows.
const (
	StageScope       Stage = "scope"
	StageExempt      Stage = "exempt"
	StagePassthrough Stage = "passthrough"
	StageIdentity    Stage = "identity"
	StageDNS         Stage = "dns"
	StageLoopback    Stage = "loopback"
	StageBypass      Stage = "bypass"
	StageCapture     Stage = "capture"
	StageInvalid     Stage = "invalid" // between exempt and passthrough, if packets are to be dropped there
)

// Hook is where packets meet the rules.
type Hook string

// Output sees packets made here, Prerouting those arriving.
const (
	Output     Hook = "output"
	Prerouting Hook = "prerouting"
)

// Bypass is one reason not to capture. Of the lists, those that aren't empty must all match.
type Bypass struct {
	Name       string         `json:"name,omitempty"` // of a rule the user wrote: "rule1"
	Stage      Stage          `json:"stage"`
	Hook       Hook           `json:"hook"`
	Interfaces []string       `json:"interfaces,omitempty"`
	Ports      []Range        `json:"ports,omitempty"`
	From       []netip.Prefix `json:"from,omitempty"`
	To         []netip.Prefix `json:"to,omitempty"`
	Proto      uint8          `json:"proto,omitempty"` // TCP or UDP; 0: both
	UIDs       []Range        `json:"uids,omitempty"`
	GIDs       []Range        `json:"gids,omitempty"`
	Reason     string         `json:"reason"` // the flag behind it
}

// Empty says that nothing at all is to be programmed.
func (p *Plan) Empty() bool { return p.In.Via == None && p.Out.Via == None }

// On says whether queries are captured.
func (d DNS) On() bool { return d.Via == Redirect || d.Via == DNAT }

// String is the form of the evidence line: "redirect:15053" or "off".
func (d DNS) String() string {
	if !d.On() {
		return "off"
	}
	return describe(d.Via, d.Port)
}

// Fingerprint identifies a plan: 16 hex digits of FNV-1a over its canonical JSON without the live sets' contents. It need
// only tell plans apart; SHA-256 would link all of Go's FIPS module, and have it test itself whenever a pod starts.
func (p *Plan) Fingerprint() string {
	w := &jsontext.Writer{}
	p.write(w, false)
	sum := fnv.New64a()
	_, _ = sum.Write(w.Text)
	return fmt.Sprintf("%016x", sum.Sum64())
}

// describe is the form of the evidence line: "redirect:15006" or "none".
func describe(via Via, port uint16) string {
	if via == None {
		return string(None)
	}
	return fmt.Sprintf("%s:%d", via, port)
}

// String describes the way in.
func (i Inbound) String() string { return describe(i.Via, i.Port) }

// String describes the way out.
func (o Outbound) String() string { return describe(o.Via, o.Port) }
