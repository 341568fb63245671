package rotation

import (
	"slices"
	"testing"
	"time"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// own and others are CAs of a year that began an hour before start.
func own(id ID) CA {
	return CA{ID: id, NotBefore: start.Add(-time.Hour), NotAfter: start.Add(365 * 24 * time.Hour), Key: true}
}

func others(id ID) CA {
	c := own(id)
	c.Key = false
	return c
}

func cas(ids ...ID) (all []CA) {
	for _, id := range ids {
		all = append(all, others(id))
	}
	return all
}

func serving(ids ...ID) (all []Endpoint) {
	for _, id := range ids {
		all = append(all, Endpoint{CA: id, Ends: start.Add(24 * time.Hour)})
	}
	return all
}

// TestNext is each transition, and what must hold before it. Time passes since the state was entered.
func TestNext(t *testing.T) {
	steady := State{Phase: Steady, Active: own("a")}
	introduced := State{Phase: Introduce, Active: own("a"), Next: own("b"), Count: 1}
	propagating := State{Phase: Propagate, Active: own("a"), Next: own("b"), Count: 1}
	promoted := State{Phase: Promote, Active: own("b"), Prev: others("a"), Count: 1}
	retiring := State{Phase: Retire, Active: own("b"), Prev: others("a"), Count: 1}
	ended := own("a")
	ended.NotAfter = start
	for _, c := range []struct {
		name   string
		state  State
		edit   func(*State)
		seen   Observed
		after  time.Duration
		want   State
		action Action
	}{
		{name: "first of all", want: State{Phase: Steady, Active: own("new")}},
		{name: "first of all, somebody else issues and hasn't yet", seen: Observed{Foreign: true}, want: State{Phase: Steady}},
		{name: "first of all, somebody else has issued", seen: Observed{Foreign: true, Wanted: others("x")}, want: State{Phase: Steady, Active: others("x")}},
		{name: "nothing to do", state: steady, after: 240 * 24 * time.Hour, want: steady},
		{name: "a third of the life is left", state: steady, after: 244 * 24 * time.Hour, want: State{Phase: Introduce, Active: own("a"), Next: own("new"), Count: 1}, action: Started},
		{name: "asked for", state: steady, edit: func(s *State) { s.Request = Rotate }, want: State{Phase: Introduce, Active: own("a"), Next: own("new"), Count: 1}, action: Started},
		{name: "asked for in the middle of one", state: propagating, edit: func(s *State) { s.Request = Rotate }, seen: Observed{Trusted: Broken},
			want: State{Phase: Propagate, Active: own("a"), Next: own("b"), Count: 1, Request: Rotate}},
		{name: "compromised", state: steady, edit: func(s *State) { s.Request = Compromised }, want: State{Phase: Introduce, Active: own("a"), Next: own("new"), Count: 1, Fast: true}, action: Started},
		{name: "compromised in the middle of one: next's key is known too", state: propagating, edit: func(s *State) { s.Request = Compromised },
			want: State{Phase: Introduce, Active: own("a"), Next: own("new"), Count: 2, Fast: true}, action: Started},
		{name: "bundles don't have next", state: introduced, seen: Observed{Trusted: Broken}, want: introduced},
		{name: "bundles have next", state: introduced, seen: Observed{Trusted: 0}, want: propagating},
		{name: "not long enough", state: propagating, seen: Observed{Trusted: 59 * time.Second, Probe: ProbePassed}, want: propagating},
		{name: "an API server doesn't know", state: propagating, seen: Observed{Trusted: time.Hour, Probe: ProbeRefused}, want: propagating},
		{name: "a wipe", state: propagating, seen: Observed{Trusted: Broken, Probe: ProbePassed}, want: propagating},
		{name: "all know", state: propagating, seen: Observed{Trusted: time.Minute, Probe: ProbePassed}, want: promoted},
		{name: "nobody could be asked, a minute", state: propagating, seen: Observed{Trusted: time.Minute}, want: propagating},
		{name: "nobody could be asked, two", state: propagating, seen: Observed{Trusted: 2 * time.Minute}, want: promoted},
		{name: "compromised, all know", state: propagating, edit: func(s *State) { s.Fast = true }, seen: Observed{Trusted: 5 * time.Second, Probe: ProbePassed},
			want: State{Phase: Promote, Active: own("b"), Prev: others("a"), Count: 1, Fast: true}},
		{name: "one hasn't changed over", state: promoted, seen: Observed{Complete: true, Endpoints: serving("a", "b"), Changed: Broken}, after: 23 * time.Hour, want: promoted, action: Stuck},
		{name: "one can't be seen", state: promoted, seen: Observed{Endpoints: serving("b"), Changed: Broken}, after: 24 * time.Hour, want: promoted},
		{name: "one can't be seen, but its leaf has ended", state: promoted, seen: Observed{Endpoints: serving("b"), Changed: Broken}, after: 25 * time.Hour, want: retiring},
		{name: "all have changed over", state: promoted, seen: Observed{Complete: true, Endpoints: serving("b", "b"), Changed: 0}, want: retiring},
		{name: "kept for a while", state: retiring, seen: Observed{Complete: true, Endpoints: serving("b"), Changed: 59 * time.Minute}, after: 59 * time.Minute, want: retiring},
		{name: "somebody serves the old one again", state: retiring, seen: Observed{Complete: true, Endpoints: serving("a"), Changed: Broken}, after: 2 * time.Hour, want: retiring, action: Stuck},
		{name: "a new leader hasn't looked for long", state: retiring, seen: Observed{Complete: true, Endpoints: serving("b"), Changed: 0}, after: time.Hour, want: retiring},
		{name: "done", state: retiring, seen: Observed{Complete: true, Endpoints: serving("b"), Changed: time.Minute}, after: time.Hour, want: State{Phase: Steady, Active: own("b"), Count: 1}, action: Completed},

		{name: "active has ended", state: State{Phase: Steady, Active: ended}, want: State{Phase: Promote, Active: own("new"), Prev: others("a"), Count: 1}, action: Recovered},
		{name: "active has ended, bundles have next", state: State{Phase: Propagate, Active: ended, Next: own("b"), Count: 1},
			want: State{Phase: Promote, Active: own("b"), Prev: others("a"), Count: 2}, action: Recovered},
		{name: "key lost, a replica still serves", state: State{Phase: Steady, Active: others("a")}, seen: Observed{Complete: true, Endpoints: serving("a")},
			want: State{Phase: Introduce, Active: others("a"), Next: own("new"), Count: 1}, action: Started},
		{name: "key lost, nobody serves", state: State{Phase: Steady, Active: others("a")}, seen: Observed{Complete: true},
			want: State{Phase: Promote, Active: own("new"), Prev: others("a"), Count: 1}, action: Recovered},
		{name: "key lost, nobody can be seen", state: State{Phase: Steady, Active: others("a")}, want: State{Phase: Introduce, Active: others("a"), Next: own("new"), Count: 1}, action: Started},
		{name: "next's key is lost", state: State{Phase: Propagate, Active: own("a"), Next: others("b"), Count: 1},
			want: State{Phase: Introduce, Active: own("a"), Next: own("new"), Trusted: cas("b"), Count: 2}, action: Started},
		{name: "next is lost", state: State{Phase: Introduce, Active: own("a"), Count: 1}, want: State{Phase: Introduce, Active: own("a"), Next: own("new"), Count: 2}, action: Started},
		{name: "a clock before the CA", state: steady, edit: func(s *State) { s.Since = start.Add(-3 * time.Hour) }, after: -2 * time.Hour, want: steady, action: Skewed},
		{name: "what we serve isn't known", state: steady, seen: Observed{Served: others("s"), Changed: Broken}, want: State{Phase: Promote, Active: own("a"), Trusted: cas("s"), Count: 1}},
		{name: "what was active isn't known", state: steady, seen: Observed{Served: others("s"), Known: others("k"), Changed: Broken}, want: State{Phase: Promote, Active: own("a"), Trusted: cas("s", "k"), Count: 1}},

		{name: "to somebody else's", state: steady, seen: Observed{Foreign: true, Wanted: others("x")}, want: State{Phase: Introduce, Active: own("a"), Next: others("x"), Count: 1}, action: Started},
		{name: "to somebody else's, who hasn't issued", state: steady, seen: Observed{Foreign: true}, want: steady},
		{name: "and their next", state: State{Phase: Retire, Active: others("x"), Prev: others("a"), Count: 1}, seen: Observed{Foreign: true, Wanted: others("y")},
			want: State{Phase: Introduce, Active: others("x"), Next: others("y"), Trusted: cas("a"), Count: 2}, action: Started},
		{name: "and back in the middle", state: State{Phase: Propagate, Active: others("x"), Next: own("b"), Count: 1}, seen: Observed{Foreign: true, Wanted: others("x")},
			want: State{Phase: Promote, Active: others("x"), Trusted: cas("b"), Count: 1}},
		{name: "and back", state: State{Phase: Steady, Active: others("x")}, seen: Observed{Served: others("x")},
			want: State{Phase: Introduce, Active: others("x"), Next: own("new"), Count: 1}, action: Started},
		{name: "a wish that is for others to fulfil", state: State{Phase: Steady, Active: others("x"), Request: Rotate}, seen: Observed{Foreign: true, Wanted: others("x")},
			want: State{Phase: Steady, Active: others("x")}, action: Refused},
		{name: "their pair is lost", state: State{Phase: Steady, Active: others("x")}, seen: Observed{Foreign: true}, want: State{Phase: Steady, Active: others("x")}},
		{name: "too many CAs", state: State{Phase: Steady, Active: own("a"), Trusted: cas("1", "2", "3", "4", "5", "6", "7", "8", "9")}, seen: Observed{Endpoints: serving("2", "a"), Complete: true, Changed: Broken},
			want: State{Phase: Promote, Active: own("a"), Trusted: cas("2", "8", "9"), Count: 1}},
		{name: "too many CAs, and nobody serves prev", state: State{Phase: Promote, Active: own("a"), Prev: others("p"), Trusted: cas("1", "2", "3"), Count: 1},
			seen: Observed{Endpoints: serving("1", "2", "3", "a"), Complete: true, Changed: Broken}, want: State{Phase: Promote, Active: own("a"), Trusted: cas("1", "2", "3"), Count: 1}},
		{name: "too many CAs, and somebody serves each", state: State{Phase: Promote, Active: own("a"), Prev: others("p"), Trusted: cas("1", "2", "3"), Count: 1},
			seen: Observed{Endpoints: serving("1", "2", "3", "p"), Complete: true, Changed: Broken}, want: State{Phase: Promote, Active: own("a"), Prev: others("p"), Trusted: cas("2", "3"), Count: 1}},
	} {
		if c.state.Since = start; c.edit != nil {
			c.edit(&c.state)
		}
		c.seen.Make, c.seen.LeafLife = func() CA { return own("new") }, 24*time.Hour
		now := start.Add(c.after)
		got, actions := Next(c.state, c.seen, DefaultTimes(), now)
		if got.Phase == c.state.Phase && got.Count == c.state.Count {
			c.want.Since = c.state.Since
		} else {
			c.want.Since = now
		}
		if c.want.Active.ID == "" {
			c.want.Since = got.Since
		}
		if !got.Same(c.want) {
			t.Errorf("%s:\n have %+v\n want %+v", c.name, got, c.want)
		}
		if c.action == "" && len(actions) > 0 || c.action != "" && !slices.Contains(actions, c.action) {
			t.Errorf("%s: actions %v, want %q", c.name, actions, c.action)
		}
	}
}

func TestSalvage(t *testing.T) {
	at := func(p Phase, count int, active CA) State { return State{Phase: p, Count: count, Active: active} }
	ended := own("old")
	ended.NotAfter = start
	for _, c := range []struct {
		name          string
		memory, found State
		memoryWins    bool
	}{
		{"nothing remembered", State{}, at(Steady, 3, own("a")), false},
		{"as remembered", at(Steady, 3, own("a")), at(Steady, 3, own("a")), false},
		{"the next step", at(Propagate, 3, own("a")), at(Promote, 3, own("b")), false},
		{"deleted or emptied", at(Steady, 3, own("a")), State{}, true},
		{"the key is gone", at(Steady, 3, own("a")), at(Steady, 3, others("a")), true},
		{"another CA in the same step", at(Steady, 3, own("a")), at(Steady, 3, own("z")), true},
		{"an old one is back", at(Steady, 3, own("a")), at(Steady, 2, own("z")), true},
		{"an ended one is back", at(Steady, 3, own("a")), at(Steady, 4, ended), true},
		{"what is remembered has ended", at(Steady, 3, ended), at(Steady, 2, own("z")), false},
	} {
		got := Salvage(c.memory, c.found, start)
		if (got.Active.ID == c.memory.Active.ID && got.Active.Key == c.memory.Active.Key && c.memory.Active.ID != c.found.Active.ID || got.Active.Key != c.found.Active.Key) != c.memoryWins {
			t.Errorf("%s: %+v", c.name, got)
		}
		if again := Salvage(c.found, got, start); c.memoryWins && !c.found.Active.None() && !again.Same(got) {
			t.Errorf("%s: who remembers what was found contradicts: %+v", c.name, again)
		}
		kept := got // what the Secret says after that: no key but those of active and next
		kept.Trusted = slices.Clone(got.Trusted)
		for i := range kept.Trusted {
			kept.Trusted[i].Key = false
		}
		if again := Salvage(got, kept, start); !again.Same(kept) {
			t.Errorf("%s: who healed it heals it for ever: %+v", c.name, again)
		}
	}
}

func TestHold(t *testing.T) {
	day, hour := start.Add(24*time.Hour), start.Add(time.Hour)
	trusted := func(id ID, d time.Duration) Leaf { return Leaf{CA: id, Ends: day, Trusted: d} }
	a := Leaf{CA: "a", Ends: hour}
	for _, c := range []struct {
		name string
		h    Holding
		at   int
		why  Verdict
	}{
		{"nothing at all", Holding{}, -1, Keep},
		{"first", Holding{Active: "a", Could: []Leaf{trusted("a", Broken)}}, 0, First},
		{"first: rather one that is trusted", Holding{Active: "a", Could: []Leaf{trusted("a", Broken), trusted("b", 0)}}, 1, First},
		{"not trusted", Holding{Served: a, Active: "b", Since: time.Hour, Could: []Leaf{trusted("b", Broken)}}, -1, Keep},
		{"trusted for a moment", Holding{Served: a, Active: "b", Since: time.Hour, Could: []Leaf{trusted("b", 59*time.Second)}}, -1, Keep},
		{"trusted for a minute", Holding{Served: a, Active: "b", Since: time.Hour, Could: []Leaf{trusted("b", time.Minute)}}, 0, Switch},
		{"not yet its turn", Holding{Served: a, Active: "b", Since: 9 * time.Second, Jitter: 10 * time.Second, Could: []Leaf{trusted("b", time.Hour)}}, -1, Keep},
		{"trusted, but only next", Holding{Served: a, Active: "a", Since: time.Hour, Could: []Leaf{trusted("b", time.Hour)}}, -1, Keep},
		{"somebody replaced the bundle", Holding{Served: a, Active: "a", Could: []Leaf{{CA: "b", Ends: day, Trusted: 0, Better: true}}}, 0, Rescue},
		{"renewed by the same CA", Holding{Served: a, Active: "a", Could: []Leaf{{CA: "a", Ends: day, Trusted: 0, Renewal: true}}}, 0, Renew},
		{"ending", Holding{Served: Leaf{CA: "a", Ends: start.Add(9 * time.Minute)}, Active: "a", Could: []Leaf{trusted("b", Broken)}}, 0, Forced},
		{"ending, and nothing lasts longer", Holding{Served: Leaf{CA: "a", Ends: start.Add(9 * time.Minute)}, Could: []Leaf{{CA: "b", Ends: start.Add(time.Minute)}}}, -1, Keep},
	} {
		if at, why := Hold(c.h, DefaultTimes(), start); at != c.at || why != c.why {
			t.Errorf("%s: %d %s, want %d %s", c.name, at, why, c.at, c.why)
		}
	}
}

func TestStreak(t *testing.T) {
	var s Streak
	look := func(after time.Duration, holds bool, mark string) time.Duration {
		s.Look(holds, mark, start.Add(after), 90*time.Second)
		return s.For()
	}
	for i, c := range []struct {
		after time.Duration
		holds bool
		mark  string
		want  time.Duration
	}{
		{0, false, "", Broken}, {1, true, "x", 0}, {time.Minute + 1, true, "x", time.Minute},
		{2*time.Minute + 1, true, "y", 0}, {3*time.Minute + 1, true, "y", time.Minute},
		{10 * time.Minute, true, "y", 0}, {11 * time.Minute, false, "y", Broken}, {12 * time.Minute, true, "y", 0},
	} {
		if got := look(c.after, c.holds, c.mark); got != c.want {
			t.Errorf("look %d: %s, want %s", i, got, c.want)
		}
	}
}

func TestBundle(t *testing.T) {
	old := own("old")
	old.NotAfter = start.Add(-2 * time.Hour)
	just := own("just")
	just.NotAfter = start.Add(-time.Minute)
	for _, c := range []struct {
		name   string
		state  State
		served CA
		want   []ID
	}{
		{"of nothing", State{}, CA{}, nil},
		{"what is served first, none twice", State{Active: own("a"), Prev: others("s")}, others("s"), []ID{"s", "a"}},
		{"ended ones go, a little late", State{Active: own("a"), Prev: just, Trusted: []CA{old}}, CA{}, []ID{"a", "just"}},
		{"never empty", State{Active: old}, CA{}, []ID{"old"}},
		{"at most four", State{Active: own("a"), Prev: own("p"), Next: own("n"), Trusted: cas("1", "2")}, own("s"), []ID{"s", "a", "p", "n"}},
	} {
		var got []ID
		for _, ca := range c.state.Bundle(c.served, start, DefaultTimes()) {
			got = append(got, ca.ID)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
