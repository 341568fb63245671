package upstream

import (
	"fmt"
	"testing"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// ranked are hosts by priority, counts[0] of priority 0 and so on. Of each the last down[i] are unwell.
func ranked(counts, down []int) *config.Cluster {
	var list []config.Locality
	first := 0
	for i, n := range counts {
		l := config.Locality{Priority: uint32(i), Hosts: endpoints(first + n)[first:]}
		for j := range down[i] {
			l.Hosts[n-1-j].Health = config.Unhealthy
		}
		first += n
		list = append(list, l)
	}
	return localities("a", list...)
}

// visits are the priorities of a request's attempts, each of which fails.
func visits(t *testing.T, c *Cluster, every uint32, attempts int) (list []uint32) {
	t.Helper()
	p := &Previous{Every: every}
	for range attempts {
		h, err := c.Pick(&Choice{Previous: p}, &stream.Trace{})
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, h.Locality().Priority)
		p.Attempted(h)
	}
	return list
}

// TestPreviousPriorities: retries go to priorities they haven't been to, and begin anew when there is none.
func TestPreviousPriorities(t *testing.T) {
	for name, c := range map[string]struct {
		counts, down []int
		every        uint32
		want         string
	}{
		"each time":          {[]int{2, 2, 2}, []int{0, 0, 0}, 1, "[0 1 2 0 1 2 0]"},
		"every second time":  {[]int{2, 2, 2}, []int{0, 0, 0}, 2, "[0 0 1 1 2 2 0]"},
		"one is down":        {[]int{2, 2, 2}, []int{0, 2, 0}, 1, "[0 2 0 2 0 2 0]"},
		"one priority":       {[]int{2}, []int{0}, 1, "[0 0 0 0 0 0 0]"},
		"nothing remembered": {[]int{2, 2}, []int{0, 0}, 0, "[0 0 0 0 0 0 0]"},
	} {
		f := newFixture(t)
		if got := fmt.Sprint(visits(t, f.apply(ranked(c.counts, c.down)), c.every, 7)); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// TestPreviousInPanic: where all are unwell the usual loads count, whatever was tried.
func TestPreviousInPanic(t *testing.T) {
	f := newFixture(t)
	c := f.apply(ranked([]int{2, 2}, []int{2, 2}))
	if got := visits(t, c, 1, 20); len(got) != 20 {
		t.Error(got)
	}
	if c.Stats.LBHealthyPanic.Load() != 20 {
		t.Errorf("%d panics", c.Stats.LBHealthyPanic.Load())
	}
}

// TestPreviousShares: what an excluded priority had goes to the others, healthy ones first.
func TestPreviousShares(t *testing.T) {
	f := newFixture(t)
	cfg := ranked([]int{2, 10, 2}, []int{0, 7, 0}) // priority 1 can bear 42 %
	c := f.apply(cfg)
	got := map[uint32]float64{}
	for range 2000 {
		p := &Previous{Every: 1}
		p.Attempted(hostAt(t, c, 0))
		h, err := c.Pick(&Choice{Previous: p}, nil)
		if err != nil {
			t.Fatal(err)
		}
		got[h.Locality().Priority] += 1.0 / 2000
	}
	if got[0] > 0 || got[1] < 0.37 || got[1] > 0.47 || got[2] < 0.53 || got[2] > 0.63 {
		t.Errorf("%v", got)
	}
}
