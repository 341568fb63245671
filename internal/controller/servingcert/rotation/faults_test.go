package rotation

import (
	"slices"
	"time"
)

// disturb does something to the world.
func (w *world) disturb() {
	all := []struct {
		name string
		do   func()
	}{
		{"restart", func() { w.anyPod(func(p *pod) { p.restart(w) }) }},
		{"all restart", func() {
			for _, p := range append([]*pod(nil), w.pods...) {
				p.restart(w)
			}
		}},
		{"scale", func() { w.scale(1 + w.random.IntN(4)) }},
		{"scale to zero", func() { w.scale(0); w.away(w.long()); w.scale(1 + w.random.IntN(3)) }},
		{"leader dies while writing", func() { w.anyPod(func(p *pod) { p.crash = 1 + w.random.IntN(4) }) }},
		{"leader dies while writing", func() {
			if w.leader != nil {
				w.leader.crash = 1 + w.random.IntN(4)
			}
		}},
		{"leader loses the Lease", w.resign},
		{"pause", func() { w.anyPod(func(p *pod) { p.paused = w.now.Add(w.upTo(2 * time.Hour)) }) }},
		{"short pause", func() { w.anyPod(func(p *pod) { p.paused = w.now.Add(w.upTo(2 * minute)) }) }},
		{"all suspended", func() { w.away(w.long()) }},
		{"partition", func() { w.anyPod(func(p *pod) { p.partitioned = w.now.Add(w.upTo(3 * time.Hour)) }) }},
		{"Secret deleted", func() { w.secret = nil }},
		{"Secret garbled", w.garble},
		{"Secret of another installation", w.supplant},
		{"Secret restored from a backup", w.restore},
		{"backup of the Secret", func() { w.old = w.secret }},
		{"bundle wiped", func() { w.publish(nil, true) }},
		{"bundle replaced", func() { w.publish([]ID{"somebody's"}, true) }},
		{"API server stalls", func() { w.servers[w.random.IntN(len(w.servers))].stalled = w.now.Add(w.upTo(3 * time.Hour)) }},
		{"rotate", func() { w.request(Rotate) }},
		{"rotate", func() { w.request(Rotate) }},
		{"compromised", func() { w.request(Compromised) }},
		{"source changes", func() { w.foreign = !w.foreign }},
		{"pair renewed by another CA", func() { w.pair = &pair{w.newCA(false, w.now), w.now.Add(pairLife)} }},
		{"pairs renewed by one CA after the other", func() { w.hurry = 2 + w.random.IntN(4) }},
		{"pair is lost", func() { w.pair = nil }},
		{"endpoints can't be reached", func() { w.noDials = w.now.Add(w.upTo(3 * day)) }},
		{"API servers can't be probed", func() { w.noProbes = w.now.Add(w.upTo(day)) }},
		{"a load balancer comes, or goes", w.reroute},
	}
	f := all[w.random.IntN(len(all))]
	w.note("fault: %s", f.name)
	w.count["fault: "+f.name]++
	f.do()
	w.stir()
}

func (w *world) anyPod(do func(*pod)) {
	if len(w.pods) > 0 {
		do(w.pods[w.random.IntN(len(w.pods))])
	}
}

// long is a time that certificates live through, most of the time.
func (w *world) long() time.Duration {
	if w.chance(8) {
		return 500 * day
	}
	return 2 * day
}

// away is a time in which no replica runs.
func (w *world) away(most time.Duration) {
	w.now = w.now.Add(w.upTo(most))
	w.suspended = w.now
	w.note("back")
}

func (w *world) request(r Request) {
	if w.secret != nil {
		s := *w.secret
		s.Request = r
		w.secret = &s
	}
}

// reroute is done while API servers are up to date: how late they may be depends on who can ask them.
func (w *world) reroute() {
	if !slices.ContainsFunc(w.servers, func(s *server) bool { return len(s.coming) > 0 }) {
		w.proxied = !w.proxied
	}
}

// restore brings back what the Secret said some time ago, or another installation's did.
func (w *world) restore() {
	before := w.secret
	w.secret, w.old = w.old, w.secret
	led := w.leader.leads(w)
	w.heed()
	if !led || before == nil || w.secret == nil || w.secret.Active.ID != before.Active.ID {
		w.epoch++ // who starts now can serve no other
	}
}

// supplant puts a Secret there that is good, and of which nobody here knows.
func (w *world) supplant() {
	if w.secret == nil || w.secret.Phase != Steady || !w.leader.leads(w) {
		return
	}
	w.secret = &State{Phase: Steady, Since: w.now, Count: w.secret.Count + w.random.IntN(10) - 2, Active: w.newCA(true, w.now)}
	w.epoch++ // who starts now can serve no other
	w.heed()
}

// heed has the leader see at once what was done to the Secret. If it died just then, or a replica started, there would
// be somebody who can't know any better.
func (w *world) heed() {
	if w.leader.leads(w) {
		w.leader.crash = 0
		w.leader.step(w)
	}
}

// doom restarts replicas that are due to.
func (w *world) doom() {
	if !w.doomed.IsZero() && !w.now.Before(w.doomed) {
		w.doomed = time.Time{}
		w.count["restarts as a phase begins"]++
		w.anyPod(func(p *pod) { p.restart(w) })
	}
}

// garble is what somebody with an editor does to the Secret.
func (w *world) garble() {
	if w.secret == nil {
		return
	}
	s := *w.secret
	switch w.random.IntN(7) {
	case 0:
		s = State{}
	case 1:
		s.Active.Key = false
	case 2:
		s.Active = CA{}
	case 3:
		s.Next = CA{}
	case 4:
		s.Phase = Phase([]string{"Steady", "Introduce", "Propagate", "Promote", "Retire", "?"}[w.random.IntN(6)])
	case 5:
		s.Since = time.Time{}
	case 6:
		s.Prev, s.Trusted = CA{}, nil
	}
	w.secret = &s
}

// issue is what cert-manager does: a pair in time, mostly of the same CA.
func (w *world) issue() {
	switch {
	case w.pair == nil:
		if w.chance(20) {
			w.pair = &pair{w.newCA(false, w.now), w.now.Add(pairLife)}
		}
	case w.hurry > 0:
		if w.chance(30) {
			w.hurry--
			w.pair = &pair{w.newCA(false, w.now), w.now.Add(pairLife)}
			w.stir()
		}
	case w.pair.ends.Sub(w.now) < pairLife/3:
		ca := w.pair.ca
		if ca.NotAfter.Before(w.now.Add(3 * pairLife)) {
			ca = w.newCA(false, w.now)
		}
		w.pair = &pair{ca, w.now.Add(pairLife)}
		w.stir()
	}
}
