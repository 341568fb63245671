package rotation

import "time"

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
		{"scale to zero", func() { w.scale(0); w.away(400 * day); w.scale(1 + w.random.IntN(3)) }},
		{"leader dies while writing", func() { w.anyPod(func(p *pod) { p.crash = 1 + w.random.IntN(4) }) }},
		{"leader dies while writing", func() {
			if w.leader != nil {
				w.leader.crash = 1 + w.random.IntN(4)
			}
		}},
		{"leader loses the Lease", w.resign},
		{"pause", func() { w.anyPod(func(p *pod) { p.paused = w.now.Add(w.upTo(2 * time.Hour)) }) }},
		{"short pause", func() { w.anyPod(func(p *pod) { p.paused = w.now.Add(w.upTo(2 * minute)) }) }},
		{"all suspended", func() { w.away(2 * day) }},
		{"all suspended for long", func() { w.away(500 * day) }},
		{"partition", func() { w.anyPod(func(p *pod) { p.partitioned = w.now.Add(w.upTo(3 * time.Hour)) }) }},
		{"Secret deleted", func() { w.secret = nil }},
		{"Secret garbled", w.garble},
		{"Secret restored from a backup", func() { w.secret, w.old = w.old, w.secret }},
		{"backup of the Secret", func() { w.old = w.secret }},
		{"bundle wiped", func() { w.publish(nil, true) }},
		{"bundle replaced", func() { w.publish([]ID{"somebody's"}, true) }},
		{"API server stalls", func() { w.servers[w.random.IntN(len(w.servers))].stalled = w.now.Add(w.upTo(3 * time.Hour)) }},
		{"rotate", func() { w.request(Rotate) }},
		{"rotate", func() { w.request(Rotate) }},
		{"compromised", func() { w.request(Compromised) }},
		{"source changes", func() { w.foreign = !w.foreign }},
		{"pair renewed by another CA", func() { w.pair = &pair{w.newCA(false, w.now), w.now.Add(pairLife)} }},
		{"pair is lost", func() { w.pair = nil }},
		{"endpoints can't be reached", func() { w.noDials = w.now.Add(w.upTo(3 * day)) }},
		{"API servers can't be reached", func() { w.noProbes = w.now.Add(w.upTo(day)) }},
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
	case w.pair.ends.Sub(w.now) < pairLife/3:
		ca := w.pair.ca
		if ca.NotAfter.Before(w.now.Add(3 * pairLife)) {
			ca = w.newCA(false, w.now)
		}
		w.pair = &pair{ca, w.now.Add(pairLife)}
		w.stir()
	}
}
