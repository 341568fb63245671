package rotation

import (
	"slices"
	"time"
)

// sane is the state as far as it can be: a Secret is text that anybody with the permission may write.
func (s State) sane(now time.Time, t Times) State {
	s.Trusted = slices.Clone(s.Trusted)
	old := !s.Prev.None() || len(s.Trusted) > 0
	if s.Since.IsZero() || s.Since.After(now.Add(t.Skew)) {
		s.Since = now
	}
	switch {
	case !s.Next.None() && !s.during(Introduce, Propagate):
		s.begin(Introduce, now)
	case s.Next.None() && old && !s.during(Introduce, Propagate, Promote, Retire):
		s.begin(Promote, now)
	case !slices.Contains(Phases(), s.Phase):
		s.Phase, s.Since = Steady, now
	}
	return s
}

// begin enters a phase that doesn't follow from the one before.
func (s *State) begin(p Phase, now time.Time) {
	s.Count++
	s.Phase, s.Since = p, now
}

// progress grows with each step: who remembers more of it than the Secret says knows that somebody set it back.
func (s State) progress() int {
	return s.Count*len(Phases()) + slices.Index([]Phase{Introduce, Propagate, Promote, Retire, Steady}, s.Phase)
}

// Salvage is the state to go on from: what the Secret says or, where that can't be used or doesn't follow from what this
// replica remembers, what it remembers. Only leaders write the Secret; everything else that happens to it is an accident.
func Salvage(memory, found State, now time.Time) State {
	if memory.Active.None() || memory.Active.ended(now) {
		return found
	}
	spoilt := found.Active.None() || found.Active.ended(now)
	before, after := memory.progress(), found.progress()
	if !spoilt && after >= before && (after > before || !found.lacks(memory)) {
		return found
	}
	memory.Request, memory.Trusted = found.Request, slices.Clone(memory.Trusted)
	if len(found.All()) > 0 { // two who remember different things must not go on contradicting each other
		memory.Count = max(memory.Count, found.Count) + 1
	}
	if !found.Active.None() && !memory.Has(found.Active.ID) {
		found.Active.Key = false // the Secret keeps none of it; to remember one would be to miss it at each look
		memory.Trusted = append(memory.Trusted, found.Active)
	}
	return memory
}

// lacks says that o has a CA or a key that s doesn't have.
func (s State) lacks(o State) bool {
	all := s.All()
	lost := func(c CA) bool {
		return !slices.ContainsFunc(all, func(have CA) bool { return have.ID == c.ID && (have.Key || !c.Key) })
	}
	return slices.ContainsFunc(o.All(), lost)
}

// cover adds CAs of which replicas may serve leaves though the Secret doesn't know them: somebody put another one in its
// place.
func (m *machine) cover(known ...CA) {
	for _, c := range known {
		if c.None() || m.Active.None() || m.Has(c.ID) || c.ended(m.now) {
			continue
		}
		m.trust(c)
		if m.during(Steady, Retire) {
			m.begin(Promote, m.now)
		}
	}
}

// lost says that nobody has, or can get, a valid leaf of active.
func (m *machine) lost() bool {
	if m.Active.None() || m.Active.ended(m.now) {
		return true
	}
	if m.Active.Key || m.Active.ID == m.seen.Wanted.ID || m.Active.ID == m.seen.Served.ID || !m.seen.Complete {
		return false
	}
	return !slices.ContainsFunc(m.seen.Endpoints, func(e Endpoint) bool { return e.CA == m.Active.ID && m.now.Before(e.Ends) })
}

// recover replaces active at once: there is nothing to protect. It is kept as prev all the same, because by another
// replica's clock it may not have ended yet.
func (m *machine) recover() {
	next := m.substitute()
	if next.None() {
		return
	}
	m.trust(m.Prev)
	if m.Next.ID != next.ID {
		m.trust(m.Next)
	}
	m.Prev, m.Active, m.Next = m.Active, next, CA{}
	m.Prev.Key, m.Fast, m.Request = false, false, NoRequest
	if m.Prev.None() && len(m.Trusted) == 0 {
		m.enter(Steady)
		return
	}
	m.Count++
	m.enter(Promote)
	m.tell(Recovered)
}

// trust keeps a CA, if it is one, in the bundle.
func (m *machine) trust(c CA) {
	if !c.None() {
		c.Key = false
		m.Trusted = append(m.Trusted, c)
	}
}

// substitute is the CA that can be served at once; what bundles already trust first.
func (m *machine) substitute() CA {
	wanted := m.seen.Wanted
	switch {
	case m.seen.Foreign && !wanted.None():
		return wanted
	case m.Next.Key && !m.Next.ended(m.now):
		return m.Next
	case m.seen.Foreign && !m.Active.Key:
		return CA{} // a CA of ours was never asked for
	}
	return m.seen.Make()
}

// bound keeps the state small: none twice, none ended, and of more than Most those that are seen to be served.
func (m *machine) bound() {
	seen := map[ID]bool{"": true, m.Active.ID: true, m.Next.ID: true, m.Prev.ID: true}
	m.Trusted = slices.DeleteFunc(m.Trusted, func(c CA) bool {
		drop := seen[c.ID] || c.ended(m.now.Add(-m.times.Skew))
		seen[c.ID] = true
		return drop
	})
	for len(m.All()) > Most {
		m.drop()
	}
	if len(m.Trusted) == 0 {
		m.Trusted = nil
	}
}

// drop gives up what is missed least: the oldest of Trusted that nobody is seen to serve, or else prev if nobody does, or
// else the oldest.
func (m *machine) drop() {
	switch at := slices.IndexFunc(m.Trusted, func(c CA) bool { return !m.served(c) }); {
	case at >= 0:
		m.Trusted = slices.Delete(m.Trusted, at, at+1)
	case !m.Prev.None() && !m.served(m.Prev):
		m.Prev = CA{}
	default:
		m.Trusted = slices.Delete(m.Trusted, 0, 1)
	}
}

// served says that somebody is seen to serve a leaf of it.
func (m *machine) served(c CA) bool {
	return c.ID == m.seen.Served.ID || slices.ContainsFunc(m.seen.Endpoints, func(e Endpoint) bool { return e.CA == c.ID })
}

// Bundle are the CAs that API servers must trust, at most Most, those of them first that are served for certain. One is
// kept a little beyond its end: clocks differ. If time has run out for all of them, all are kept: an empty bundle would
// make the API server trust its own roots instead.
func (s State) Bundle(served CA, now time.Time, t Times) []CA {
	var valid, all []CA
	for _, c := range append([]CA{served}, s.All()...) {
		if c.None() || slices.ContainsFunc(all, func(a CA) bool { return a.ID == c.ID }) {
			continue
		}
		all = append(all, c)
		if !c.ended(now.Add(-t.Skew)) {
			valid = append(valid, c)
		}
	}
	if len(valid) == 0 {
		valid = all
	}
	return valid[:min(len(valid), Most)]
}
