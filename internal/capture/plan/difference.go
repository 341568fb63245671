package plan

import "fmt"

// DifferenceKind says how the kernel and the plan disagree.
type DifferenceKind string

// The kinds of differences.
const (
	Missing DifferenceKind = "missing"
	Surplus DifferenceKind = "surplus"
	Moved   DifferenceKind = "moved"
	Altered DifferenceKind = "altered"
)

// Difference is one thing in the kernel that isn't as the plan wants it.
type Difference struct {
	Kind DifferenceKind `json:"kind"`
	What string         `json:"what"`           // "rule output.capture.all", "set skip4", "address ::6/128"
	Want string         `json:"want,omitempty"` // as nftables would write it; "" for what is surplus
	Have string         `json:"have,omitempty"` // what is there, as far as it can be said
}

// String is one line for the user.
func (d Difference) String() string {
	s := fmt.Sprintf("%s %s", d.Kind, d.What)
	if d.Want != "" {
		s += ": want " + d.Want
	}
	if d.Have != "" {
		s += "; have " + d.Have
	}
	return s
}
