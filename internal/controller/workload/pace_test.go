package workload

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

var noon = time.Date(2026, 3, 27, 12, 0, 0, 0, time.UTC)

// TestPaceKeepsTheRate tries as often as it may for ten minutes, with replacements that are ready at once.
func TestPaceKeepsTheRate(t *testing.T) {
	for _, perMinute := range []int32{1, 6, 7, 600} {
		p, now, done := newPacer(), noon, []time.Time{}
		for now.Before(noon.Add(10 * time.Minute)) {
			if p.wait(now, perMinute) == 0 {
				p.tried(now, perMinute)
				done = append(done, now)
			}
			now = now.Add(17 * time.Millisecond)
		}
		first := 0
		for i := range done {
			for done[i].Sub(done[first]) >= time.Minute {
				first++
			}
			if n := int32(i - first + 1); n > perMinute {
				t.Fatalf("%d a minute: %d within a minute", perMinute, n)
			}
		}
		if least := int(perMinute) * 8; len(done) < least { // a look every 17 ms can't hit every one of 600
			t.Errorf("%d a minute: only %d in ten minutes", perMinute, len(done))
		}
	}
}

func TestPaceStartsSlowly(t *testing.T) {
	p, evicted := newPacer(), 0
	fill := func() int { // evicts as many as it may at once
		for before := evicted; ; evicted++ {
			if p.wait(noon, 3) > 0 {
				return evicted - before
			}
			p.evicted(fmt.Sprint(evicted), corev1.ObjectReference{}, nil, noon)
		}
	}
	for step, c := range []struct {
		owner string
		good  bool
		want  int // awaited at once afterwards
	}{{"", false, 1}, {"0", true, 2}, {"1", true, 3}, {"2", true, 3}, {"3", false, 2}, {"4", false, 1}, {"5", true, 2}} {
		if c.owner != "" {
			p.came(c.owner, c.good, noon)
		}
		if fill(); len(p.awaited) != c.want {
			t.Fatalf("step %d: %d replacements are awaited at once, want %d", step, len(p.awaited), c.want)
		}
	}
	p.changed(2)
	p.awaited = map[string]*awaited{}
	if n := fill(); n != 1 {
		t.Errorf("%d replacements are awaited at once of another version of the Injector, want 1", n)
	}
}

func TestOwnersAreFree(t *testing.T) {
	p := newPacer()
	p.evicted("a", corev1.ObjectReference{}, nil, noon)
	p.evicted("b", corev1.ObjectReference{}, nil, noon)
	if p.free("a", noon) || !p.free("c", noon) {
		t.Error("an owner whose replacement is awaited is free, or another isn't")
	}
	p.came("a", true, noon)
	p.came("b", false, noon)
	if !p.free("a", noon) || p.free("b", noon.Add(ownerRest-time.Second)) || !p.free("b", noon.Add(ownerRest)) {
		t.Errorf("want the owner of a good replacement free at once, that of a bad one after %s", ownerRest)
	}
}

func TestPaceBacksOff(t *testing.T) {
	p, now := newPacer(), noon
	for _, want := range []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 10 * time.Minute, 10 * time.Minute} {
		if delay := p.refused("a", now); delay != want {
			t.Fatalf("backs off %s, want %s", delay, want)
		}
		if p.free("a", now.Add(want-time.Second)) || !p.free("a", now.Add(want)) {
			t.Fatalf("owner isn't left alone for just %s", want)
		}
		if !p.free("b", now) {
			t.Fatal("another owner is left alone too")
		}
		now = now.Add(want)
		p.forget(now, func(types.UID) bool { return true })
	}
	p.evicted("a", corev1.ObjectReference{}, nil, now)
	p.came("a", true, now)
	if delay := p.refused("a", now); delay != 30*time.Second {
		t.Errorf("after an eviction that worked it backs off %s, want 30s again", delay)
	}
	p.forget(now.Add(time.Hour), func(types.UID) bool { return false })
	if len(p.backoff) != 0 {
		t.Error("old refusals are never forgotten")
	}
}

func TestCircuit(t *testing.T) {
	for _, c := range []struct {
		name     string
		outcomes string // g: good, b: bad
		opens    int    // at which; -1: never
	}{
		{"five bad ones", "bbbbb", 4},
		{"four bad ones", "bbbbg", -1},
		{"half of ten", "gbgbgbgbgb", 9},
		{"four of any ten", "bbbbggggggbbbbggggggb", -1},
		{"a good one opens nothing", "bbbbgggggg", -1},
	} {
		p, opened := newPacer(), -1
		for i, outcome := range c.outcomes {
			if p.came("a", outcome == 'g', noon) && opened < 0 {
				opened = i
			}
		}
		if opened != c.opens {
			t.Errorf("%s: opens at %d, want %d", c.name, opened, c.opens)
		}
	}
}

func TestCircuitCloses(t *testing.T) {
	open := func() *pacer {
		p := newPacer()
		p.changed(1)
		for range outcomesBad {
			p.came("a", false, noon)
		}
		if !p.stopped(noon) || p.wait(noon, 6) != circuitOpen {
			t.Fatal("the circuit isn't open")
		}
		return p
	}
	p := open()
	if p.changed(1); !p.stopped(noon.Add(circuitOpen - time.Second)) {
		t.Error("it closes early")
	}
	if p.stopped(noon.Add(circuitOpen)) {
		t.Error("it is still open after half an hour")
	}
	if !p.came("a", false, noon.Add(circuitOpen)) {
		t.Error("the first one after half an hour is bad and doesn't open it again")
	}
	if p.came("a", true, noon.Add(2*circuitOpen)) || p.came("b", false, noon.Add(2*circuitOpen)) {
		t.Error("one bad one opens it again although one before was good")
	}
	p = open()
	if p.changed(2); p.stopped(noon) || p.came("a", false, noon) {
		t.Error("another version of the Injector doesn't close it, or one bad one of that opens it")
	}
}
