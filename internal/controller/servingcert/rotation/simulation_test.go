package rotation

import (
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// tick is a moment of the world.
func (w *world) tick() {
	if w.leader == nil && !w.now.Before(w.elected) {
		w.elect()
	}
	if w.leader != nil && (w.leader.paused.Sub(w.now) > lapse || w.leader.partitioned.Sub(w.now) > lapse) {
		w.resign()
	}
	w.issue()
	w.doom()
	for _, p := range append([]*pod(nil), w.pods...) {
		slept := !p.paused.After(w.now) && p.paused.Sub(p.looked) > w.times.Nap
		p.ready = p.ready && !slept
		if slept || w.now.Sub(p.looked) > w.times.Stale {
			p.step(w) // a handshake after a sleep waits for a look, and looks that fail are repeated
		}
	}
	w.deliver()
	for _, p := range append([]*pod(nil), w.pods...) {
		if !w.now.Before(p.next) {
			p.step(w)
			p.next = w.now.Add(w.late(p))
		}
		w.check()
		p.applyBundle(w)
		w.check()
	}
	if p := w.leader; p.leads(w) && p.bundleAt.IsZero() {
		p.bundleAt = w.now.Add(w.upTo(2 * time.Second)) // the injector controller looks at what is there
	}
	w.deliver()
}

// late is how long a pod sees nothing new: events of its informers come late, or never, and then it looks by itself.
func (w *world) late(p *pod) time.Duration {
	if w.leader == p || !w.chance(4) {
		return 0
	}
	return w.upTo(w.times.Look)
}

func (w *world) elect() {
	for _, i := range w.random.Perm(len(w.pods)) {
		if p := w.pods[i]; !p.paused.After(w.now) && !p.partitioned.After(w.now) {
			w.leader = p
			p.began, p.next = w.now, w.now
			p.trusted, p.changed = Streak{}, Streak{}
			w.stir()
			return
		}
	}
}

// pause is how long nothing can happen.
func (w *world) pause(next time.Time) time.Duration {
	d := 2 * time.Hour
	switch {
	case w.now.Before(w.busy):
		return time.Second
	case w.secret == nil || w.secret.Phase != Steady:
		d = 29 * time.Second
	}
	for _, p := range w.pods {
		for _, at := range []time.Time{p.paused, p.partitioned} {
			if at.After(w.now) {
				d = min(d, 29*time.Second)
			}
		}
	}
	for _, s := range w.servers {
		if s.stalled.After(w.now) {
			d = min(d, s.stalled.Sub(w.now)+1)
		}
	}
	return max(time.Second, min(d, next.Sub(w.now)))
}

// unfinished is how long a rotation may last, whatever happens meanwhile.
const unfinished = 60 * day

// live lets years pass. It says how long no rotation was complete at most.
func (w *world) live(years int, every time.Duration) (longest time.Duration) {
	end, next, steady := w.now.AddDate(years, 0, 0), w.now.Add(time.Hour), w.now
	for w.now.Before(end) && w.fault == "" {
		if !w.now.Before(next) {
			before := w.now
			w.disturb()
			next = w.now.Add(w.upTo(2 * every))
			if w.chance(3) {
				next = w.now.Add(w.upTo(3 * minute)) // into the middle of the last one
			}
			steady = steady.Add(w.now.Sub(before))
		}
		w.tick()
		if w.secret != nil && w.secret.Phase == Steady {
			steady = w.now
		}
		if longest = max(longest, w.now.Sub(steady)); longest > unfinished {
			w.violated("no rotation was complete since %s", steady)
		}
		d := w.pause(next)
		if d > time.Second {
			w.catchUp(d)
		}
		w.now = w.now.Add(d)
	}
	return longest
}

// catchUp stands for the looks of a long time in which nothing happens.
func (w *world) catchUp(d time.Duration) {
	for _, p := range w.pods {
		if !p.paused.After(w.now) && !p.partitioned.After(w.now) {
			p.looked = w.now.Add(d)
		}
	}
}

// TestFiftyYears is the invariant: at every instant every API server verifies the leaf of every replica it may be led
// to, whatever fails, but for what check and excused say.
// PILLION_SIMULATION_SEEDS=100 lives through as many of them.
func TestFiftyYears(t *testing.T) {
	seeds := 1
	if n, err := strconv.Atoi(os.Getenv("PILLION_SIMULATION_SEEDS")); err == nil {
		seeds = n
	}
	total := map[string]int{}
	for seed := range seeds {
		w := newWorld(uint64(seed))
		longest := w.live(years, 20*day)
		if w.fault != "" {
			t.Fatalf("seed %d: %s\n%s", seed, w.fault, strings.Join(w.log[max(0, len(w.log)-60):], "\n"))
		}
		if w.count["Completed"] < 2*years {
			t.Errorf("seed %d: %d rotations were completed, want %d or more", seed, w.count["Completed"], 2*years)
		}
		t.Logf("seed %d: %d rotations complete, never without one for more than %s", seed, w.count["Completed"], longest)
		for name, n := range w.count {
			total[name] += n
		}
	}
	for _, name := range slices.Sorted(maps.Keys(total)) {
		t.Logf("%6d %s", total[name], name)
	}
}
