package injector

import "time"

// Limits of repairs on one object. Somebody who writes as often as we do is answered once a minute, and the user is told;
// a caBundle alone is put back each time, but no more often than bundleSpacing.
const (
	repairsPerMinute = 10
	repairSpacing    = time.Second
	contestedSpacing = time.Minute
	bundleSpacing    = repairSpacing / 2
)

// limiter counts repairs by object. It is used by one goroutine.
type limiter struct{ repairs map[string][]time.Time }

func newLimiter() *limiter { return &limiter{repairs: map[string][]time.Time{}} }

// wait is how long the next repair of name has to be put off; 0: do it now.
func (l *limiter) wait(name string, now time.Time) time.Duration {
	recent := l.recent(name, now)
	if len(recent) == 0 {
		return 0
	}
	spacing := repairSpacing
	if len(recent) >= repairsPerMinute {
		spacing = contestedSpacing
	}
	return max(0, recent[len(recent)-1].Add(spacing).Sub(now))
}

// waitForBundle is that for a repair of nothing but caBundles, which is put off neither for a minute nor until a full
// second has passed: without them no pod is created, and who wipes them each second is answered each time at once.
func (l *limiter) waitForBundle(name string, now time.Time) time.Duration {
	recent := l.recent(name, now)
	if len(recent) == 0 {
		return 0
	}
	return max(0, recent[len(recent)-1].Add(bundleSpacing).Sub(now))
}

func (l *limiter) repaired(name string, now time.Time) {
	l.repairs[name] = append(l.recent(name, now), now)
}

// contested says whether repairs of name have reached the limit. It stays so until a quiet minute.
func (l *limiter) contested(name string, now time.Time) bool {
	return len(l.recent(name, now)) >= repairsPerMinute
}

// recent are the repairs that count: those of the last minute, and while contested those before them too, as long as
// the last one is recent; else one repair a minute would end the contest every other minute.
func (l *limiter) recent(name string, now time.Time) []time.Time {
	all := l.repairs[name]
	if len(all) >= repairsPerMinute && now.Sub(all[len(all)-1]) < contestedSpacing+10*time.Second {
		all = all[len(all)-repairsPerMinute:]
		l.repairs[name] = all
		return all
	}
	for len(all) > 0 && now.Sub(all[0]) >= time.Minute {
		all = all[1:]
	}
	if len(all) == 0 {
		delete(l.repairs, name)
		return nil
	}
	l.repairs[name] = all
	return all
}
