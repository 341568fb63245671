package rotation

import "time"

// Probe is what calls through the API servers told.
type Probe string

// What they told.
const (
	ProbeUnknown Probe = ""       // nothing, or not of every API server
	ProbePassed  Probe = "passed" // every API server trusts next
	ProbeRefused Probe = "refused"
)

// Endpoint is what a ready replica was seen to serve.
type Endpoint struct {
	CA   ID
	Ends time.Time // its leaf
}

// Observed is what the leader sees besides the Secret.
type Observed struct {
	Foreign   bool          // the certificates are somebody else's to issue
	Wanted    CA            // the CA of the pair they gave us; none: there is no usable one
	Served    CA            // the CA of the leaf this replica serves
	Known     CA            // the CA that was active when this replica looked last
	Trusted   time.Duration // for how long the bundles have been seen to verify a leaf of next; or Broken
	Probe     Probe
	Endpoints []Endpoint    // the ready ones that could be looked at
	Complete  bool          // which were all
	Changed   time.Duration // for how long all have been seen to serve active; or Broken
	LeafLife  time.Duration // the longest that a leaf of another CA than active lives
	Make      func() CA     // makes a CA of ours; none if that fails
}

// Action is what happened, for Events and metrics.
type Action string

// The actions.
const (
	Started   Action = "Started"
	Completed Action = "Completed"
	Recovered Action = "Recovered" // what was active could not be used any more
	Refused   Action = "Refused"   // a request that isn't ours to fulfil
	Skewed    Action = "Skewed"    // active isn't valid yet: a clock is wrong
	Stuck     Action = "Stuck"     // the phase lasts much longer than it must
)

// Next is what the Secret should say now, one transition at a time: one write.
func Next(s State, o Observed, t Times, now time.Time) (State, []Action) {
	m := machine{State: s.sane(now, t), seen: o, times: t.Of(s), now: now}
	m.cover(o.Served, o.Known)
	switch {
	case m.lost():
		m.recover()
	case !m.redirect():
		m.advance()
	}
	m.bound()
	return m.State, m.actions
}

// machine is one call of Next.
type machine struct {
	State
	seen    Observed
	times   Times
	now     time.Time
	actions []Action
}

func (m *machine) enter(p Phase) { m.Phase, m.Since = p, m.now }

func (m *machine) tell(a Action) { m.actions = append(m.actions, a) }

// redirect begins a rotation to another CA if leaves should be of another one than they are going to be.
func (m *machine) redirect() bool {
	if m.seen.Foreign && m.Request != NoRequest && !m.ours() {
		m.Request = NoRequest
		m.tell(Refused)
	}
	target := m.target()
	switch {
	case target.ID == m.Active.ID && m.Next.None(), !target.None() && target.ID == m.Next.ID:
		return false
	case target.ID == m.Active.ID: // back to where we came from
		m.trust(m.Next)
		m.Next = CA{}
		m.enter(Promote)
	case target.None():
		m.introduce(m.seen.Make())
	default:
		m.introduce(target)
	}
	return true
}

// ours says that leaves are for us to sign: because we were told so, or because nobody has given us others.
func (m *machine) ours() bool { return !m.seen.Foreign || m.seen.Wanted.None() && m.Active.Key }

// target is the CA that leaves should be of in the end; none is a new one of ours.
func (m *machine) target() CA {
	switch {
	case !m.ours() && m.seen.Wanted.None():
		if m.Next.None() {
			return m.Active // what served before keeps serving
		}
		return m.Next
	case !m.ours():
		return m.seen.Wanted
	case m.Request == Compromised:
		return CA{}
	case m.during(Introduce, Propagate) && m.Next.Key:
		return m.Next
	case m.during(Introduce, Propagate), !m.Active.Key, m.Phase == Steady && m.due():
		return CA{}
	}
	return m.Active
}

// due is true in the last third of a CA's life, and when somebody asks for it.
func (m *machine) due() bool {
	third := m.Active.NotAfter.Sub(m.Active.NotBefore) / 3
	return m.Request == Rotate || !m.now.Before(m.Active.NotAfter.Add(-third))
}

// introduce begins a rotation. What a replica may serve by an earlier one stays trusted, but not a CA that was next when
// keys became known: nobody serves it yet.
func (m *machine) introduce(next CA) {
	if next.None() {
		return // it couldn't be made; there is another look soon
	}
	m.trust(m.Prev)
	if m.Request != Compromised || !m.Next.Key {
		m.trust(m.Next)
	}
	m.Prev, m.Next = CA{}, next
	m.Fast = m.ours() && m.Request == Compromised
	m.Request = NoRequest
	m.Count++
	m.enter(Introduce)
	m.tell(Started)
}

// advance goes one phase further if it is time.
func (m *machine) advance() {
	if m.now.Before(m.Active.NotBefore) {
		m.tell(Skewed)
	}
	before := m.Phase
	switch m.Phase {
	case Introduce:
		if m.seen.Trusted >= 0 {
			m.enter(Propagate)
		}
	case Propagate:
		if m.propagated() {
			m.promote()
		}
	case Promote:
		if m.changedOver() {
			m.enter(Retire)
		}
	case Retire:
		if m.retired() {
			m.Prev, m.Trusted, m.Fast = CA{}, nil, false
			m.enter(Steady)
			m.tell(Completed)
		}
	}
	if m.Phase == before && m.Phase != Steady && m.now.Sub(m.Since) > m.shortest()+m.times.Stuck {
		m.tell(Stuck)
	}
}

// promote makes next active. The old key is gone with this write.
func (m *machine) promote() {
	m.Prev, m.Active, m.Next = m.Active, m.Next, CA{}
	m.Prev.Key = false
	m.enter(Promote)
}

// propagated says that no API server can be left that doesn't trust next.
func (m *machine) propagated() bool {
	switch m.seen.Probe {
	case ProbePassed:
		return m.seen.Trusted >= m.times.Settle
	case ProbeRefused:
		return false
	}
	return m.seen.Trusted >= m.times.ProbeOffSettle
}

// changedOver says that every replica serves a leaf of active: by what was seen of them or, where they can't be looked
// at, because no other leaf can be valid any more.
func (m *machine) changedOver() bool {
	if m.others() {
		return false
	}
	return m.seen.Changed >= 0 || !m.seen.Complete && m.now.Sub(m.Since) >= m.oldLeaves()
}

func (m *machine) retired() bool {
	dwelt := m.now.Sub(m.Since)
	seen := m.seen.Changed >= min(m.times.Settle, m.times.Retire) || !m.seen.Complete && dwelt >= m.oldLeaves()
	return dwelt >= m.times.Retire && seen && !m.others()
}

// others says that some replica was seen to serve a valid leaf of another CA than active.
func (m *machine) others() bool {
	for _, e := range m.seen.Endpoints {
		if e.CA != m.Active.ID && m.now.Before(e.Ends.Add(m.times.Skew)) {
			return true
		}
	}
	return false
}

// oldLeaves is how long leaves of the old CA may be valid, by any clock.
func (m *machine) oldLeaves() time.Duration { return m.seen.LeafLife + m.times.Skew }

// shortest is what the phase lasts when all is well.
func (m *machine) shortest() time.Duration {
	switch {
	case m.Phase == Propagate && m.seen.Probe == ProbeUnknown:
		return m.times.ProbeOffSettle
	case m.Phase == Propagate:
		return m.times.Settle
	case m.during(Promote, Retire) && !m.seen.Complete:
		return max(m.oldLeaves(), m.times.Retire)
	case m.Phase == Promote:
		return m.times.Jitter
	case m.Phase == Retire:
		return m.times.Retire
	}
	return 0
}
