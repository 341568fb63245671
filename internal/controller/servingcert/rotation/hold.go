package rotation

import "time"

// Leaf is one that a replica serves or could serve.
type Leaf struct {
	CA      ID
	Ends    time.Time
	Trusted time.Duration // for how long bundles have been seen to verify it wherever they verify the served one; or Broken
	Better  bool          // they verify it where they don't verify the served one
	Renewal bool          // of the same CA as the served one, and due
}

// Holding is what a replica knows when it decides about its leaf.
type Holding struct {
	Served Leaf // CA "": none yet
	Could  []Leaf
	Active ID            // of the Secret
	Since  time.Duration // for how long it has been active, as this replica saw it
	Jitter time.Duration // this replica's
}

// Verdict is why a leaf is taken, or isn't.
type Verdict string

// The verdicts.
const (
	Keep   Verdict = "Keep"
	First  Verdict = "First"
	Forced Verdict = "Forced" // the served one is ending: any is better
	Rescue Verdict = "Rescue" // somebody replaced the bundle in one step
	Renew  Verdict = "Renew"
	Switch Verdict = "Switch"
)

// Hold says which of Could to serve instead of what is served; -1 with Keep.
func Hold(h Holding, t Times, now time.Time) (int, Verdict) {
	ending := h.Served.CA == "" || h.Served.Ends.Before(now.Add(t.Spare))
	if ending {
		return h.replace(now)
	}
	for i, leaf := range h.Could {
		switch {
		case leaf.Trusted < 0 || !now.Before(leaf.Ends):
		case leaf.Better:
			return i, Rescue
		case leaf.Renewal:
			return i, Renew
		case leaf.CA == h.Active && leaf.CA != h.Served.CA && leaf.Trusted >= t.Settle && h.Since >= h.Jitter:
			return i, Switch
		}
	}
	return -1, Keep
}

// replace finds something instead of a leaf that is as good as ended: of those that last longer the first trusted one,
// or the first.
func (h Holding) replace(now time.Time) (int, Verdict) {
	verdict := Forced
	if h.Served.CA == "" {
		verdict = First
	}
	best := -1
	for i, leaf := range h.Could {
		if !leaf.Ends.After(h.Served.Ends) || !now.Before(leaf.Ends) {
			continue
		}
		if leaf.Trusted >= 0 {
			return i, verdict
		}
		if best < 0 {
			best = i
		}
	}
	if best < 0 {
		return -1, Keep
	}
	return best, verdict
}
