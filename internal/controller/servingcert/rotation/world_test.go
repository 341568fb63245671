package rotation

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// Lives and limits of the simulated world.
const (
	day      = 24 * time.Hour
	caLife   = 365 * day
	leafLife = day
	pairLife = 30 * day
	maxLag   = 50 * time.Second  // of an API server that isn't stalled
	slowLag  = 110 * time.Second // of one that probes can tell of
	patience = 30 * time.Second  // of readiness with a bundle that doesn't verify
	lapse    = 15 * time.Second  // of the Lease
	minute   = time.Minute
	rescued  = 150 * time.Second // everything that could go wrong has; by then replicas serve again
)

// view is the bundle as an API server has it.
type view struct {
	ids     []ID
	version int
	foreign bool // not what a leader wrote
	epoch   int  // how many times everything had been lost before
}

func (v view) has(id ID) bool { return slices.Contains(v.ids, id) }

// server is an API server that learns of a new bundle after a while.
type server struct {
	view    view
	coming  []arrival
	stalled time.Time // until then nothing arrives
	blind   bool      // it lags, and nobody can know: probes don't reach it
}

type arrival struct {
	at   time.Time
	view view
}

// pair is a certificate that somebody else issued.
type pair struct {
	ca   CA
	ends time.Time
}

// world is an API server's storage, API servers, replicas and what is done to them.
type world struct {
	random *rand.Rand
	times  Times
	now    time.Time
	busy   time.Time // until then something may happen each second

	secret  *State // nil: there is none
	old     *State // a backup of it
	bundle  view
	wipedAt time.Time
	servers []*server
	pods    []*pod
	leader  *pod
	elected time.Time // when the next leader is

	foreign   bool
	pair      *pair
	noDials   time.Time // until then the leader can't look at endpoints
	noProbes  time.Time
	proxied   bool      // API servers are behind a load balancer: a probe reaches one of them
	hurry     int       // CAs that the issuer of pairs still goes through in quick succession
	doomed    time.Time // when a replica restarts; zero: none does
	suspended time.Time // when all awoke
	epoch     int

	made  int
	count map[string]int
	log   []string
	fault string // the first violation
}

func newWorld(seed uint64) *world {
	w := &world{random: rand.New(rand.NewPCG(seed, 1)), times: DefaultTimes(), count: map[string]int{},
		now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	w.suspended = w.now.Add(-day)
	w.proxied = w.chance(2)
	for range 2 + w.random.IntN(2) {
		w.servers = append(w.servers, &server{})
	}
	w.scale(3)
	return w
}

func (w *world) note(format string, args ...any) {
	w.log = append(w.log, w.now.Format("2006-01-02 15:04:05 ")+fmt.Sprintf(format, args...))
	if len(w.log) > 400 {
		w.log = w.log[200:]
	}
}

// stir has the world go second by second for a while.
func (w *world) stir() {
	if until := w.now.Add(rescued); until.After(w.busy) {
		w.busy = until
	}
}

func (w *world) violated(format string, args ...any) {
	if w.fault == "" {
		w.fault = fmt.Sprintf(format, args...)
		w.note("VIOLATION: %s", w.fault)
	}
}

func (w *world) newCA(own bool, now time.Time) CA {
	w.made++
	return CA{ID: ID(fmt.Sprintf("ca%d", w.made)), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(caLife), Key: own}
}

func (w *world) scale(n int) {
	for len(w.pods) > n {
		w.remove(w.pods[w.random.IntN(len(w.pods))])
	}
	for len(w.pods) < n {
		w.pods = append(w.pods, w.newPod())
	}
	w.stir()
}

func (w *world) remove(p *pod) {
	w.pods = slices.DeleteFunc(w.pods, func(o *pod) bool { return o == p })
	if w.leader == p {
		w.resign()
	}
}

func (w *world) resign() { w.leader, w.elected = nil, w.now.Add(w.upTo(lapse)) }

func (w *world) upTo(d time.Duration) time.Duration {
	return time.Duration(w.random.Int64N(int64(d) + 1))
}

func (w *world) chance(one int) bool { return w.random.IntN(one) == 0 }

// store is a write of the Secret. It is lost if somebody else wrote since.
func (w *world) store(s State, read *State) bool {
	if w.secret != read {
		return false
	}
	s.Trusted = slices.Clone(s.Trusted)
	if read != nil && read.Phase != s.Phase && w.chance(6) {
		w.doomed = w.now.Add(w.upTo(20 * time.Second)) // each phase is a bad moment to start
	}
	w.secret = &s
	w.stir()
	return true
}

// publish is a write of the bundle.
func (w *world) publish(ids []ID, foreign bool) {
	if slices.Equal(ids, w.bundle.ids) && !foreign && !w.bundle.foreign && w.bundle.epoch == w.epoch {
		return
	}
	if foreign && !w.bundle.foreign {
		w.wipedAt = w.now
	}
	w.bundle = view{ids: ids, version: w.bundle.version + 1, foreign: foreign, epoch: w.epoch}
	for _, s := range w.servers {
		s.coming = append(s.coming, arrival{w.now.Add(w.lag()), w.bundle})
	}
	w.stir()
}

func (w *world) lag() time.Duration {
	switch {
	case !w.chance(3):
		return w.upTo(time.Second)
	case w.proxied || w.chance(2):
		return w.upTo(maxLag)
	}
	return w.upTo(slowLag)
}

// unseen says that there may be API servers that no probe reaches.
func (w *world) unseen() bool { return w.proxied && len(w.servers) > 1 || w.noProbes.After(w.now) }

// deliver lets API servers learn, each in order.
func (w *world) deliver() {
	for _, s := range w.servers {
		s.blind = s.blind && len(s.coming) > 0 || s.stalled.After(w.now) && w.unseen()
		for len(s.coming) > 0 && !w.now.Before(s.coming[0].at) && !w.now.Before(s.stalled) {
			s.view, s.coming = s.coming[0].view, s.coming[1:]
			w.check()
		}
	}
}

// check is the invariant: every API server can call every replica that it may be led to.
func (w *world) check() {
	for _, p := range w.pods {
		if !p.endpoint || p.paused.After(w.now) || p.served.ca.None() {
			continue
		}
		if !w.now.Before(p.served.ends) {
			if w.now.Sub(w.suspended) > rescued {
				w.violated("%s serves a leaf of %s that ended at %s", p.name, p.served.ca.ID, p.served.ends)
			}
			continue
		}
		for i, s := range w.servers {
			if !s.view.has(p.served.ca.ID) && !w.excused(s, p) {
				w.violated("%s serves a leaf of %s, API server %d has %v", p.name, p.served.ca.ID, i, s.view.ids)
			}
		}
	}
	if w.bundle.foreign && w.leader.leads(w) && w.now.Sub(later(w.wipedAt, w.leader.began)) > minute {
		w.violated("the bundle isn't repaired although there is a leader")
	}
}

// excused are faults that nothing could be done about: the API server still has what somebody else put there, or
// everything had been lost and it hasn't heard of what replaced it, or all had been suspended.
func (w *world) excused(s *server, p *pod) bool {
	switch {
	case s.view.foreign:
		w.count["excused: a bundle that somebody else wrote"]++
	case s.view.epoch < w.epoch && len(s.coming) > 0:
		w.count["excused: everything was lost"]++
	case w.bundle.epoch < w.epoch && w.now.Sub(w.suspended) < rescued:
		w.count["excused: not yet written again"]++
	case p.forced && (len(s.coming) > 0 || w.now.Sub(w.suspended) < rescued):
		w.count["excused: the leaf ended while all were suspended, and its issuer has another CA"]++
	case p.early && s.stalled.Add(minute).After(w.now):
		w.count["excused: an API server stalls, and a replica that starts has no other leaf"]++
	case s.blind:
		w.count["excused: an API server lags and can't be probed"]++
	default:
		return false
	}
	return true
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
