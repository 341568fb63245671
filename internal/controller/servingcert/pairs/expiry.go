package pairs

import (
	"fmt"
	"time"
)

// How often it is said that a pair ends: daily, and hourly in its last day.
const (
	day      = 24 * time.Hour
	warnings = day
	lastDay  = time.Hour
)

// Expiring gives a message once a third of the pair's life is left, and then says whether it is due, if it was last told
// at told (zero: never). Pairs that somebody renews at that point, as cert-manager does, have until a quarter. The
// message stays the same while the pair does, so that a status with it isn't written each time.
func (p *Pair) Expiring(renewed bool, now, told time.Time) (message string, due bool) {
	life, left := p.Ends.Sub(p.Certificate.Leaf.NotBefore), p.Ends.Sub(now)
	threshold, advice := life/3, "nothing renews it: replace it before then"
	if renewed {
		threshold, advice = life/4, "it should have been renewed by now: see its Certificate, and cert-manager's log"
	}
	if left > threshold {
		return "", false
	}
	every := warnings
	if left <= day {
		every = lastDay
	}
	since := now.Sub(told) // negative: the clock was set back
	return fmt.Sprintf("%s: ends at %s; %s", p.Origin, stamp(p.Ends), advice), told.IsZero() || since >= every || since < 0
}
