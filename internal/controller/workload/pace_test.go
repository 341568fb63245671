package workload

import (
	"testing"
	"time"

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

func TestPaceAwaitsNoMoreThanAMinutesEvictions(t *testing.T) {
	p := newPacer()
	for _, owner := range []string{"a", "b", "c"} {
		p.evicted(owner, nil, noon)
	}
	if p.wait(noon, 3) == 0 {
		t.Error("a fourth eviction although three replacements are awaited and three are allowed a minute")
	}
	if p.free("a", noon) {
		t.Error("an owner whose replacement is awaited is free")
	}
	p.came("b", true, noon)
	if p.wait(noon, 3) != 0 || !p.free("b", noon) {
		t.Error("after one replacement became ready the next may not go")
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
	p.evicted("a", nil, now)
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
	if p.stopped(noon.Add(circuitOpen)) || p.came("a", false, noon.Add(circuitOpen)) {
		t.Error("after half an hour it doesn't start anew")
	}
	p = open()
	if p.changed(2); p.stopped(noon) {
		t.Error("another version of the Injector doesn't close it")
	}
}
