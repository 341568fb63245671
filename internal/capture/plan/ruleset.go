package plan

import "net/netip"

// Ruleset is what backends program: chains of rules and the lists they refer to.
type Ruleset struct {
	Plan   *Plan // it came from: iptables' dialects are written from it; nil for a clean namespace
	Chains []Chain
	Sets   []*Set
}

// Chain is a list of rules. Packets enter a base chain at its hook, another one by a rule that goes there.
type Chain struct {
	Name     string
	Hook     Hook // of another chain: where the packets it gets come from
	Base     bool
	Priority int32
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

// The fields. FieldTCPPort holds only for TCP; FieldPort for whatever protocol stands before it. Address fields hold
// only for their operand's family, negated or not.
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
)

// The numbers netfilter has for families.
const (
	NFProtoIPv4 = 2
	NFProtoIPv6 = 10
)

// Cond compares a field with one operand: Set if it isn't nil, else the one that suits the field.
type Cond struct {
	Field  Field
	Not    bool
	Set    *Set
	Number uint32
	Text   string
	Prefix netip.Prefix
}

// ActionKind is what a rule does.
type ActionKind int

// DoReturn leaves the packet alone, DoGoto continues in a chain and doesn't come back, DoRedirect captures.
const (
	DoReturn ActionKind = iota
	DoGoto
	DoRedirect
)

// Action is a rule's right side.
type Action struct {
	Kind  ActionKind
	Chain string  // of DoGoto
	Port  uint16  // of DoRedirect
	To    Verdict // of DoRedirect
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
)

// Set is a named list. Of its contents only those of its kind are used; they're sorted and don't overlap.
type Set struct {
	Name     string
	Kind     Kind
	Ranges   []Range
	Prefixes []netip.Prefix
	Names    []string
}
