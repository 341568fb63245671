package source

import (
	"context"
	"runtime/debug"
	"slices"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// warm begins to wait for what an entry's new version needs.
func (s *Source) warm(e *entry) {
	s.warming[e] = struct{}{}
	s.check = append(s.check, e)
	if e.kind == clusters {
		s.lookUp(e, e.warming)
	}
	for _, n := range e.warming.needs {
		if n.ready && n.late != nil && !s.cells.filled(n.resource) {
			cellOf(s.cells.filters, n.name).Store(n.late)
		}
		if s.cells.filled(n.resource) {
			continue
		}
		if !slices.Contains(s.waiters[n.resource], e) {
			s.waiters[n.resource] = append(s.waiters[n.resource], e)
		}
		s.remind(e.warming.deadline(n))
	}
}

// deadline is when to go on without a need; zero: never.
func (v *version) deadline(n need) time.Time {
	if n.from.Value().FetchTimeout <= 0 {
		return time.Time{}
	}
	return v.updated.Add(n.from.Value().FetchTimeout)
}

// remind has expire called at a time, or before.
func (s *Source) remind(at time.Time) {
	if at.IsZero() || !s.next.IsZero() && !at.Before(s.next) {
		return
	}
	s.next = at
	s.wake()
}

func (s *Source) wake() {
	select {
	case s.alarm <- struct{}{}:
	default:
	}
}

// arrived notes that a resource came, for those who wait for it.
func (s *Source) arrived(r resource) {
	s.check = append(s.check, s.waiters[r]...)
	delete(s.waiters, r)
}

// whole reports whether all that a version needs is there or given up.
func (s *Source) whole(v *version, now time.Time) bool {
	if v.names != nil {
		return false
	}
	for _, n := range v.needs {
		if s.cells.filled(n.resource) {
			continue
		}
		if end := v.deadline(n); end.IsZero() || now.Before(end) {
			return false
		}
		if n.late != nil {
			cellOf(s.cells.filters, n.name).Store(n.late)
		}
	}
	return true
}

// settle brings what has become whole into use, follows what it names, lets removed clusters go, and publishes.
func (s *Source) settle() {
	now := s.opts.Now()
	for {
		s.promote(now)
		if s.dirty || s.moved {
			s.releaseDoomed()
		}
		s.moved = false
		if !s.stale {
			break
		}
		s.follow()
	}
	s.judgeReady(now)
	if s.unpacked >= packAt {
		s.wake()
	}
	if s.dirty && (s.ready.Load() || len(s.warming) == 0) {
		s.publish()
	}
}

func (s *Source) promote(now time.Time) {
	for _, e := range s.check {
		if e.warming == nil || s.tables[e.kind][e.name] != e || !s.whole(e.warming, now) {
			continue
		}
		e.active, e.warming = e.warming, nil
		delete(s.warming, e)
		s.dirty, s.stale = true, true
	}
	clear(s.check)
	s.check = s.check[:0]
}

// publish makes a Runtime of what is active.
func (s *Source) publish() {
	ls := make([]*config.Listener, 0, len(s.tables[listeners]))
	for _, e := range s.tables[listeners] {
		if e.active != nil {
			ls = append(ls, e.active.listener)
		}
	}
	cs := make([]*config.Cluster, 0, len(s.tables[clusters]))
	for _, e := range s.tables[clusters] {
		if e.active != nil {
			cs = append(cs, e.active.cluster)
		}
	}
	s.show(config.NewRuntime(ls, cs))
	s.dirty = false
}

// judgeReady becomes ready when the first whole configuration is there.
func (s *Source) judgeReady(now time.Time) {
	if s.ready.Load() || len(s.warming) > 0 || !s.answered(clusters, now) || !s.answered(listeners, now) {
		return
	}
	s.publish()
	s.waiters, s.warming, s.check = map[resource][]*entry{}, map[*entry]struct{}{}, nil // maps don't shrink
	s.becomeReady()
	s.wake() // the first configuration cost garbage
}

// answered reports whether it is known which clusters or listeners there are, or waiting for it is over.
func (s *Source) answered(k kind, now time.Time) bool {
	root := s.roots[k]
	if root == nil || s.came[k] {
		return true
	}
	if root.FetchTimeout <= 0 {
		return false
	}
	end := s.began.Add(root.FetchTimeout)
	if now.Before(end) {
		s.remind(end)
		return false
	}
	return true
}

// expire looks again at all that warms: a deadline has passed.
func (s *Source) expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next = time.Time{}
	now := s.opts.Now()
	for e := range s.warming {
		s.check = append(s.check, e)
		for _, n := range e.warming.needs {
			if end := e.warming.deadline(n); end.After(now) {
				s.remind(end)
			}
		}
	}
	s.settle()
}

// keepTime calls expire when deadlines pass, packs what came, and gives memory back once after the first whole
// configuration.
func (s *Source) keepTime(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for trimmed := false; ; {
		timer.Reset(s.untilNext())
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			s.expire()
			s.reread()
		case <-s.alarm:
		}
		if !s.Ready() {
			continue
		}
		s.pack()
		if !trimmed {
			debug.FreeOSMemory()
			trimmed = true
		}
	}
}

func (s *Source) untilNext() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next.IsZero() {
		return s.nextLook()
	}
	return min(s.nextLook(), max(0, s.next.Sub(s.opts.Now())))
}
