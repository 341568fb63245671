// Package rotation decides when a CA is introduced, served and dropped. It is pure: CAs are names with times, and the
// clock and all that was seen come in as values.
//
// Two rules make it safe, each without the other. The leader's (Next): the bundle that API servers trust covers whatever
// the Secret lets anybody serve; a CA comes into it before anybody serves a leaf of it, and goes when everybody was seen
// to serve another one. The replica's (Hold): a leaf is served only when the live bundles have verified it for a while.
// One machine serves every source of certificates: a CA of ours, of cert-manager's or of the user's becomes next, then
// active, then prev, and so does a change from one source to another.
//
// Read this file first, then next.go (what the leader does, phase by phase), recover.go (what it does when things were
// lost) and hold.go. The simulation in the tests lives through fifty years of it.
package rotation

import (
	"slices"
	"time"
)

// ID names a CA: its certificate's fingerprint. "" is none.
type ID string

// CA is what matters of one here. Its zero value is none.
type CA struct {
	ID        ID
	NotBefore time.Time
	NotAfter  time.Time
	Key       bool // the Secret has its key: every replica can sign with it
}

// None says that there is no such CA.
func (c CA) None() bool { return c.ID == "" }

func (c CA) ended(now time.Time) bool { return !now.Before(c.NotAfter) }

// Phase is how far a rotation is.
type Phase string

// The phases, in order.
const (
	Steady    Phase = "Steady"
	Introduce Phase = "Introduce" // next is being written to every bundle
	Propagate Phase = "Propagate" // every bundle has it; API servers take it over
	Promote   Phase = "Promote"   // it is active; replicas change over
	Retire    Phase = "Retire"    // all have changed over; what was active is kept for a while
)

// Phases are all of them, in order.
func Phases() []Phase { return []Phase{Steady, Introduce, Propagate, Promote, Retire} }

// Request is somebody's wish for a rotation.
type Request string

// The requests.
const (
	NoRequest   Request = ""
	Rotate      Request = "true"
	Compromised Request = "compromised" // with short dwell times, and whatever the phase is
)

// Most is how many CAs a bundle may have.
const Most = 4

// State is what the Secret says.
type State struct {
	Phase   Phase
	Since   time.Time // by the clock of the leader that wrote it
	Count   int       // of rotations begun
	Fast    bool      // the present one has short dwell times
	Active  CA        // what leaves are of, or should be
	Next    CA        // what they will be of
	Prev    CA        // what they were of
	Trusted []CA      // what else somebody may still serve
	Request Request
}

// Same says that two states mean the same: nothing needs to be written.
func (s State) Same(o State) bool {
	return s.Phase == o.Phase && s.Since.Equal(o.Since) && s.Count == o.Count && s.Fast == o.Fast && s.Request == o.Request &&
		s.Active.ID == o.Active.ID && s.Next.ID == o.Next.ID && s.Prev.ID == o.Prev.ID &&
		slices.EqualFunc(s.Trusted, o.Trusted, func(a, b CA) bool { return a.ID == b.ID })
}

// All are the CAs of the state, those first that would be missed most.
func (s State) All() []CA {
	all := append(make([]CA, 0, 3+len(s.Trusted)), s.Active, s.Prev, s.Next)
	return slices.DeleteFunc(append(all, s.Trusted...), CA.None)
}

// Has says whether the state has a CA.
func (s State) Has(id ID) bool {
	return slices.ContainsFunc(s.All(), func(c CA) bool { return c.ID == id })
}

func (s State) during(phases ...Phase) bool { return slices.Contains(phases, s.Phase) }
