// Package live fills the live sets of rules in force: what Listed mode captures, and whether late arming captures yet.
// Elements come in, by calls or over a Unix socket; each is in the kernel when the call returns, and leaves it some time
// after its end. Read live.go first, then protocol.go.
package live

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"sync"
	"time"

	"github.com/pillion-mesh/pillion/internal/capture/plan"
)

// Bounds. A removal costs the kernel milliseconds, an addition doesn't.
const (
	sweepEvery  = 10 * time.Second
	maxRemovals = 1000    // a sweep
	maxElements = 1 << 16 // a set
)

// ErrFull says that a set holds as much as it may.
var ErrFull = errors.New("the live set is full")

// Sets are the sets in the kernel.
type Sets interface {
	AddElements(set string, list []plan.Element) error
	RemoveElements(lists map[string][]plan.Element) error
}

// Live knows what it put into the sets, and until when. It is safe for concurrent use.
type Live struct {
	mu      sync.Mutex
	sets    Sets
	now     func() time.Time
	entries map[string]map[plan.Element]time.Time // until when; zero: for good
}

// New makes one that has put nothing anywhere yet.
func New(sets Sets, now func() time.Time) *Live {
	return &Live{sets: sets, now: now, entries: map[string]map[plan.Element]time.Time{}}
}

// Add puts elements into a set; they're in force when it returns. They stay for ttl, or for good if that is 0. An element
// that is there already stays as long as the longer of the two.
func (l *Live) Add(set string, ttl time.Duration, list ...plan.Element) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.entries[set])+len(list) > maxElements && l.added(set, list) > maxElements {
		return fmt.Errorf("%w: %s holds %d elements already, and %d at most", ErrFull, set, len(l.entries[set]), maxElements)
	}
	if err := l.sets.AddElements(set, list); err != nil {
		return err
	}
	if l.entries[set] == nil {
		l.entries[set] = map[plan.Element]time.Time{}
	}
	var until time.Time
	if ttl > 0 {
		until = l.now().Add(ttl)
	}
	for _, e := range list {
		if old, known := l.entries[set][e]; !known || until.IsZero() || (!old.IsZero() && old.Before(until)) {
			l.entries[set][e] = until
		}
	}
	return nil
}

// added is how much a set would hold.
func (l *Live) added(set string, list []plan.Element) int {
	more := map[plan.Element]bool{}
	for _, e := range list {
		if _, known := l.entries[set][e]; !known {
			more[e] = true
		}
	}
	return len(l.entries[set]) + len(more)
}

// Remove marks elements for the next sweep: connections may be captured some seconds longer. Protocols of set armed leave
// at once.
func (l *Live) Remove(set string, list ...plan.Element) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if set == plan.SetArmed {
		return l.take(map[string][]plan.Element{set: list})
	}
	if l.added(set, list) > maxElements {
		return fmt.Errorf("%w: %s", ErrFull, set)
	}
	for _, e := range list {
		if l.entries[set] == nil {
			l.entries[set] = map[plan.Element]time.Time{}
		}
		l.entries[set][e] = l.now() // also what somebody else put there
	}
	return nil
}

// take removes elements now. What the kernel refuses stays known, so that the next sweep tries again.
func (l *Live) take(lists map[string][]plan.Element) error {
	if err := l.sets.RemoveElements(lists); err != nil {
		return err
	}
	for set, list := range lists {
		for _, e := range list {
			delete(l.entries[set], e)
		}
	}
	return nil
}

// Sweep removes what is past its end, the oldest first, as much as one transaction should.
func (l *Live) Sweep() (removed int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	due := l.due()
	if len(due) == 0 {
		return 0, nil
	}
	lists := map[string][]plan.Element{}
	for _, d := range due {
		lists[d.set] = append(lists[d.set], d.element)
	}
	return len(due), l.take(lists)
}

type ended struct {
	set     string
	element plan.Element
	at      time.Time
}

func (l *Live) due() []ended {
	var list []ended
	now := l.now()
	for set, entries := range l.entries {
		for e, until := range entries {
			if !until.IsZero() && !until.After(now) {
				list = append(list, ended{set, e, until})
			}
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i].at.Before(list[j].at) })
	return list[:min(len(list), maxRemovals)]
}

// Restore puts everything back that belongs in the sets, for rules that were made anew.
func (l *Live) Restore() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	for set, entries := range l.entries {
		var list []plan.Element
		for e, until := range entries {
			if until.IsZero() || until.After(l.now()) {
				list = append(list, e)
			}
		}
		errs = append(errs, l.sets.AddElements(set, list))
	}
	return errors.Join(errs...)
}

// Run sweeps until ctx ends; report gets what goes wrong.
func (l *Live) Run(ctx context.Context, report func(error)) {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if _, err := l.Sweep(); err != nil {
				report(err)
			}
		}
	}
}
