package plan

import "net/netip"

// Ruleset is what backends program: chains of rules and the lists they refer to.
type Ruleset struct {
	Plan   *Plan // it came from: iptables' dialects are written from it; nil for a clean namespace
	Chains []Chain
	Sets   []*Set
}

// ChainType is what the kernel does with a base chain's packets.
type ChainType string

// A NAT chain sees the first packet of each connection, the others see every packet; a route chain looks up the route
// again if a rule changes the mark.
const (
	TypeNAT    ChainType = "nat"
	TypeFilter ChainType = "filter"
	TypeRoute  ChainType = "route"
)

// Chain is a list of rules. Packets enter a base chain at its hook, another one by a rule that goes there. A packet
// passes all base chains of its hook, the lowest priority first.
type Chain struct {
	Name     string
	Hook     Hook // of another chain: where the packets it gets come from
	Base     bool
	Type     ChainType
	Priority int32
	Aside    bool // it prepares packets for other chains: leaving it says nothing about what becomes of them
	Rules    []Rule
}

// Rule decides about a packet that meets all its conditions. ID is <hook>.<stage>.<what>: the name of its counter, the
// start of its comment and the label of its metric.
type Rule struct {
	ID     string
	Stage  Stage
	Conds  []Cond
	Do     Action
	Reason string
}

// Field is what a condition looks at.
type Field int

// The fields. FieldTCPPort and the like hold only for their protocol; FieldPort for whatever protocol stands before it.
// Address fields hold only for their operand's family, negated or not.
const (
	FieldFamily Field = iota
	FieldProto
	FieldInIface
	FieldOutIface
	FieldSrc
	FieldDst
	FieldTCPPort
	FieldPort
	FieldUID
	FieldGID
	FieldUDPPort
	FieldUDPSource     // port
	FieldMark          // of the packet, under Mask
	FieldConnMark      // of the connection
	FieldConnState     // any of the states in Mask
	FieldDstAndTCPPort // destination address and port together, in a set
)

// The numbers netfilter has for families.
const (
	NFProtoIPv4 = 2
	NFProtoIPv6 = 10
)

// The bits netfilter has for the states of a connection.
const (
	StateInvalid     = 1
	StateEstablished = 2
	StateRelated     = 4
	StateNew         = 8
)

// Cond compares a field with one operand: Set if it isn't nil, else the one that suits the field.
type Cond struct {
	Field  Field
	Not    bool
	Set    *Set
	Number uint32
	Mask   uint32
	Text   string
	Prefix netip.Prefix
}

// ActionKind is what a rule does.
type ActionKind int

// Every action ends the packet's way through the chain. DoReturn leaves the packet alone, DoGoto continues in a chain and
// doesn't come back; DoRedirect, DoDNAT and DoTProxy capture.
const (
	DoReturn ActionKind = iota
	DoGoto
	DoRedirect
	DoDNAT
	DoTProxy
	DoDrop
	DoZone        // tracks the packet's flow apart from those of other zones
	DoMark        // marks the packet
	DoSaveMark    // gives the connection the packet's mark
	DoRestoreMark // gives the packet the connection's mark
)

// Action is a rule's right side.
type Action struct {
	Kind  ActionKind
	Chain string     // of DoGoto
	Addr  netip.Addr // of DoDNAT
	Port  uint16     // of what captures
	To    Verdict    // of what captures
	Mark  uint32     // of DoTProxy and DoMark
	Zone  uint16     // of DoZone
}

// Kind is what a set holds.
type Kind int

// The kinds of sets.
const (
	KindPort Kind = iota
	KindProto
	KindUID
	KindGID
	KindIPv4
	KindIPv6
	KindInterface
	KindIPv4Port
	KindIPv6Port
)

// Set is a named list. Of its contents only those of its kind are used; they're sorted and don't overlap. A live set is
// filled while the rules are in force: backends make it with First as its contents, and then keep what it holds.
type Set struct {
	Name     string
	Kind     Kind
	Ranges   []Range
	Prefixes []netip.Prefix
	Names    []string
	Live     bool
	First    []Element
}
