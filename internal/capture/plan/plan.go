// Package plan decides what happens to a pod's connections: command line and environment in, a Plan out, and from it
// the rules every backend programs (Rules) and the way of one packet through them (Eval). It changes nothing and reads
// nothing of the machine; it builds on every OS. Read plan.go for the model, then build.go, rules.go
// and stages.go; flags.go is the command line.
package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
)

// Mode says what happens to a connection no rule speaks of.
type Mode string

// All captures everything that isn't bypassed.
const All Mode = "all"

// Via is how captured connections reach the proxy.
type Via string

// Redirect rewrites the destination to a local port; None captures nothing.
const (
	Redirect Via = "redirect"
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
	Loopback netip.Prefix `json:"loopback"` // IPv4 destinations never captured, 127.0.0.1/32
	Bypass   []Bypass     `json:"bypass,omitempty"`
}

// Identity tells the proxy's own packets: any of the lists makes a packet the proxy's. The owner of a packet is the
// file-system UID and GID of the thread that created the socket.
type Identity struct {
	UIDs []uint32 `json:"uids"`
	GIDs []uint32 `json:"gids"`
}

// Inbound is what happens to connections that arrive.
type Inbound struct {
	Via    Via    `json:"via"`
	Port   uint16 `json:"port"`
	Tunnel uint16 `json:"tunnel"` // HBONE: never captured, never hairpinned
	Ports  Ports  `json:"ports"`
}

// Outbound is what happens to connections made here.
type Outbound struct {
	Via   Via      `json:"via"`
	Port  uint16   `json:"port"`
	CIDRs Prefixes `json:"cidrs"`
	Ports []Range  `json:"ports,omitempty"` // captured whatever the address
}

// Stage is a step on a packet's way; stages are passed in this order, and the first rule that decides ends it.
type Stage string

// The stages this plan knows.
const (
	StageScope       Stage = "scope"
	StageExempt      Stage = "exempt"
	StagePassthrough Stage = "passthrough"
	StageIdentity    Stage = "identity"
	StageLoopback    Stage = "loopback"
	StageBypass      Stage = "bypass"
	StageCapture     Stage = "capture"
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
	Stage      Stage          `json:"stage"`
	Hook       Hook           `json:"hook"`
	Interfaces []string       `json:"interfaces,omitempty"`
	Ports      []Range        `json:"ports,omitempty"`
	From       []netip.Prefix `json:"from,omitempty"`
	To         []netip.Prefix `json:"to,omitempty"`
	UIDs       []Range        `json:"uids,omitempty"`
	Reason     string         `json:"reason"` // the flag behind it
}

// Empty says that nothing at all is to be programmed.
func (p *Plan) Empty() bool { return p.In.Via == None && p.Out.Via == None }

// Fingerprint identifies a plan: 16 hex digits of SHA-256 over its canonical JSON.
func (p *Plan) Fingerprint() string {
	text, err := json.Marshal(p)
	if err != nil { // a Plan holds nothing that JSON can't say
		return "unknown"
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
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
