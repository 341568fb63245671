package rotation

import "time"

// Broken is how long something has held that doesn't.
const Broken time.Duration = -1

// Streak is for how long something has held, as far as this process saw it itself: its zero value doesn't hold. Times
// with a monotonic reading make it count only time this process was running, whatever happens to the clock.
type Streak struct {
	mark        string
	since, last time.Time
}

// Look notes that it holds, or doesn't. Another mark means that it is another thing that holds, and so does a gap
// between two looks: who wasn't looking doesn't know.
func (s *Streak) Look(holds bool, mark string, now time.Time, gap time.Duration) {
	switch away := now.Sub(s.last); {
	case !holds:
		*s = Streak{}
		return
	case s.since.IsZero(), s.mark != mark, away > gap, away < 0:
		s.since, s.mark = now, mark
	}
	s.last = now
}

// For is how long, or Broken.
func (s *Streak) For() time.Duration {
	if s.since.IsZero() {
		return Broken
	}
	return s.last.Sub(s.since)
}
