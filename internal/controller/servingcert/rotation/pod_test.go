package rotation

import (
	"fmt"
	"slices"
	"time"
)

// leafOf is a certificate that a pod serves.
type leafOf struct {
	ca    CA
	ends  time.Time
	renew time.Time
}

// pod is a replica: the same decisions as package servingcert's, without cryptography.
type pod struct {
	name        string
	offset      time.Duration // of its clock
	began       time.Time
	looked      time.Time // by the world's clock
	memory      *State
	served      leafOf
	candidate   map[ID]*Streak
	active      Streak
	serving     Streak // bundles verify what it serves
	jitter      time.Duration
	trusted     Streak // a leader's
	changed     Streak
	next        time.Time // when it looks again
	fresh       int       // looks without a Secret
	crash       int       // writes until it dies; 0: it doesn't
	bundleAt    time.Time
	endpoint    bool
	ready       bool // once was
	failing     time.Time
	paused      time.Time
	partitioned time.Time
	dead        bool
	forced      bool // what it serves was all there was
	early       bool // it started with a leaf of what isn't active yet: there was no other
}

func (w *world) newPod() *pod {
	w.made++
	offset := time.Duration(0)
	if w.chance(2) {
		offset = w.upTo(time.Hour) - 30*minute
	}
	return &pod{name: fmt.Sprintf("pod%d", w.made), offset: offset, began: w.now, looked: w.now, candidate: map[ID]*Streak{}}
}

func (p *pod) leads(w *world) bool {
	return p != nil && w.leader == p && !p.paused.After(w.now) && !p.partitioned.After(w.now)
}

func (p *pod) clock(w *world) time.Time { return w.now.Add(p.offset) }

// step is Controller.Step.
func (p *pod) step(w *world) {
	if p.dead || p.paused.After(w.now) {
		return
	}
	if p.partitioned.After(w.now) {
		p.hold(w, false)
		p.judge(w)
		return
	}
	p.syncSecret(w)
	if p.dead {
		return
	}
	p.looked = w.now
	p.hold(w, true)
	p.judge(w)
}

func (p *pod) syncSecret(w *world) {
	read := w.secret
	switch {
	case read == nil && p.memory != nil:
		p.write(w, *p.memory, nil)
		return
	case read == nil:
		if p.fresh++; p.fresh > 3 || len(w.bundle.ids) == 0 {
			next, _ := Next(State{}, p.observe(w, State{}), w.times, p.clock(w))
			if !next.Active.None() {
				w.lost(p, "")
				p.write(w, next, nil)
			}
		}
		return
	}
	found := *read
	if p.memory != nil {
		found = Salvage(*p.memory, found, p.clock(w))
	}
	switch {
	case p.leads(w):
		p.lead(w, read, found)
	case found.Same(*read) && !read.lacks(found):
		p.take(w, *read)
	default:
		p.write(w, found, read)
	}
}

func (p *pod) lead(w *world, read *State, found State) {
	o := p.observe(w, found)
	next, actions := Next(found, o, w.times, p.clock(w))
	for _, a := range actions {
		w.count[string(a)]++
	}
	if slices.Contains(actions, Recovered) || found.Active.None() {
		w.lost(p, found.Active.ID)
	}
	w.audit(p, found, next)
	if next.Same(*read) && !read.lacks(next) {
		p.take(w, *read)
		return
	}
	p.write(w, next, read)
}

// audit judges a transition by what the leader can't know better than we do.
func (w *world) audit(p *pod, before, after State) {
	if before.Phase == Promote && after.Phase == Retire {
		for _, o := range w.pods {
			if o.endpoint && w.noDials.Before(w.now) && !o.paused.After(w.now) && o.served.ca.ID != after.Active.ID && w.now.Before(o.served.ends) {
				w.violated("%s says that all have changed over, and %s serves a leaf of %s", p.name, o.name, o.served.ca.ID)
			}
		}
	}
	if before.Phase == Propagate && after.Phase == Promote && after.Fast && w.unseen() {
		for _, s := range w.servers { // who is in a hurry takes that risk
			s.blind = s.blind || !s.view.has(after.Active.ID)
		}
	}
}

// lost notes that everything was lost, and judges whether it was.
func (w *world) lost(p *pod, old ID) {
	for _, o := range w.pods {
		if o != p && o.endpoint && o.served.ca.ID == old && old != "" && o.served.ends.After(w.now.Add(31*minute)) && !o.paused.After(w.now) && w.noDials.Before(w.now) {
			w.violated("%s replaces the CA although %s serves a valid leaf", p.name, o.name)
		}
	}
	w.epoch++
	w.suspended = w.now
	w.note("%s: everything was lost", p.name)
}

// write may be its last, before or after.
func (p *pod) write(w *world, s State, read *State) {
	if p.crash > 0 {
		if p.crash--; p.crash == 0 {
			if w.chance(2) {
				w.store(s, read)
			}
			w.note("%s crashes while writing %s", p.name, s.Phase)
			w.count["crashes between writes"]++
			p.restart(w)
			return
		}
	}
	if w.store(s, read) {
		w.note("%s writes %s count=%d active=%s next=%s prev=%s trusted=%d", p.name, s.Phase, s.Count, s.Active.ID, s.Next.ID, s.Prev.ID, len(s.Trusted))
		p.take(w, s)
	}
}

// restart is a new process in the same place.
func (p *pod) restart(w *world) {
	p.dead = true
	for i, o := range w.pods {
		if o == p {
			w.pods[i] = w.newPod()
		}
	}
	if w.leader == p {
		w.resign()
	}
	w.stir()
}

func (p *pod) take(w *world, s State) {
	p.fresh = 0
	if p.memory != nil && p.memory.Active.ID != s.Active.ID {
		p.jitter = w.upTo(w.times.Of(s).Jitter)
	}
	p.memory = &s
	if p.leads(w) && p.bundleAt.IsZero() {
		p.bundleAt = w.now.Add(w.upTo(2 * time.Second))
	}
}

// applyBundle is the injector controller's write, some time after it was asked for.
func (p *pod) applyBundle(w *world) {
	if p.dead || p.paused.After(w.now) || p.partitioned.After(w.now) || p.bundleAt.IsZero() || w.now.Before(p.bundleAt) || p.memory == nil {
		return
	}
	p.bundleAt = time.Time{}
	if w.now.Sub(p.looked) > w.times.Settle || w.leader == p && p.looked.Before(p.began) || w.leader != p && w.now.Sub(p.looked) > 2*time.Second {
		return // Bundle gives none
	}
	var ids []ID
	for _, c := range p.memory.Bundle(p.served.ca, p.clock(w), w.times) {
		ids = append(ids, c.ID)
	}
	w.publish(ids, false)
}

func (p *pod) observe(w *world, s State) Observed {
	now := p.clock(w)
	o := Observed{Foreign: w.foreign, Served: p.served.ca, LeafLife: leafLife, Make: func() CA { return w.newCA(true, now) }}
	if p.memory != nil {
		o.Known = p.memory.Active
	}
	if w.foreign && w.pair != nil {
		o.Wanted, o.LeafLife = w.pair.ca, pairLife
	}
	p.trusted.Look(!s.Next.None() && w.bundle.has(s.Next.ID), fmt.Sprint(s.Next.ID, w.bundle.version), now, w.times.Stale)
	o.Trusted = p.trusted.For()
	o.Probe = w.probe(s.Next.ID)
	all := w.noDials.Before(w.now)
	o.Complete = all
	for _, e := range w.pods {
		if !e.endpoint {
			continue
		}
		if !w.noDials.Before(w.now) || e.paused.After(w.now) || e.served.ca.None() {
			o.Complete, all = false, false
			continue
		}
		o.Endpoints = append(o.Endpoints, Endpoint{CA: e.served.ca.ID, Ends: e.served.ends})
		all = all && e.served.ca.ID == s.Active.ID
	}
	p.changed.Look(all, string(s.Active.ID), now, w.times.Stale)
	o.Changed = p.changed.For()
	return o
}

func (w *world) probe(next ID) Probe {
	if next == "" || !w.noProbes.Before(w.now) || !slices.ContainsFunc(w.pods, func(p *pod) bool { return p.endpoint }) {
		return ProbeUnknown
	}
	reached := w.servers
	if w.proxied {
		at := w.random.IntN(len(w.servers))
		reached = w.servers[at : at+1]
	}
	for _, s := range reached {
		if !s.view.has(next) {
			return ProbeRefused
		}
	}
	return ProbePassed
}

// hold changes the leaf when it is time.
func (p *pod) hold(w *world, looked bool) {
	if p.memory == nil {
		return
	}
	now, times := p.clock(w), w.times.Of(*p.memory)
	p.active.Look(looked, string(p.memory.Active.ID), now, times.Stale)
	p.serving.Look(looked && w.bundle.has(p.served.ca.ID), fmt.Sprint(p.served.ca.ID, w.bundle.version), now, times.Stale)
	h := Holding{Served: Leaf{CA: p.served.ca.ID, Ends: p.served.ends}, Active: p.memory.Active.ID, Since: p.active.For(), Jitter: p.jitter}
	could := p.could(w, now)
	for _, l := range could {
		h.Could = append(h.Could, p.weigh(w, l, looked))
	}
	at, verdict := Hold(h, times, now)
	if at < 0 {
		return
	}
	if verdict != Renew {
		w.note("%s (%s) %s: %s instead of %s", p.name, p.offset, verdict, could[at].ca.ID, p.served.ca.ID)
	}
	w.count["leaves: "+string(verdict)]++
	if verdict != Renew {
		p.forced = verdict == Forced && could[at].ca.ID != p.served.ca.ID
		p.early = verdict == First && could[at].ca.ID != p.memory.Active.ID
	}
	p.served = could[at]
	if p.leads(w) && p.bundleAt.IsZero() {
		p.bundleAt = w.now.Add(w.upTo(2 * time.Second))
	}
	if verdict != Renew {
		w.stir()
	}
}

func (p *pod) could(w *world, now time.Time) []leafOf {
	var all []leafOf
	add := func(ca CA) {
		switch {
		case ca.None():
		case ca.Key:
			ends := now.Add(leafLife)
			if ca.NotAfter.Before(ends) {
				ends = ca.NotAfter
			}
			all = append(all, leafOf{ca, ends, now.Add(ends.Sub(now) * 2 / 3)})
		case w.pair != nil && w.pair.ca.ID == ca.ID:
			all = append(all, leafOf{ca: ca, ends: w.pair.ends})
		}
	}
	add(p.memory.Active)
	add(p.memory.Next)
	if w.foreign && w.pair != nil && w.pair.ca.ID != p.memory.Active.ID && w.pair.ca.ID != p.memory.Next.ID {
		add(w.pair.ca)
	}
	return all
}

func (p *pod) weigh(w *world, l leafOf, looked bool) Leaf {
	leaf := Leaf{CA: l.ca.ID, Ends: l.ends, Trusted: Broken}
	if l.ca.ID == p.served.ca.ID {
		leaf.Renewal = l.ca.Key && !p.clock(w).Before(p.served.renew) || !l.ca.Key && !l.ends.Equal(p.served.ends)
		leaf.Trusted = 0
		return leaf
	}
	s := p.candidate[l.ca.ID]
	if s == nil {
		s = &Streak{}
		p.candidate[l.ca.ID] = s
	}
	s.Look(looked && w.bundle.has(l.ca.ID), fmt.Sprint(w.bundle.version), p.clock(w), w.times.Stale)
	leaf.Trusted = s.For()
	leaf.Better = looked && w.bundle.has(l.ca.ID) && !w.bundle.has(p.served.ca.ID)
	return leaf
}

// judge is Ready, asked by the kubelet now and then.
func (p *pod) judge(w *world) {
	verified := p.memory != nil && !p.served.ca.None() && w.bundle.has(p.served.ca.ID)
	if !verified && p.failing.IsZero() {
		p.failing = w.now
	}
	if verified {
		p.failing = time.Time{}
	}
	lasts := !p.served.ca.None() && p.served.ends.After(p.clock(w).Add(w.times.Spare))
	ready := lasts && w.now.Sub(p.looked) <= w.times.Stale && (verified || p.ready && w.now.Sub(p.failing) < patience)
	if !p.ready && ready && p.served.ca.ID != p.memory.Active.ID {
		ready = p.serving.For() >= w.times.ProbeOffSettle
	}
	p.ready = ready
	if ready != p.endpoint && (w.chance(5) || w.busy.Before(w.now)) {
		p.endpoint = ready
		w.stir()
	}
}
