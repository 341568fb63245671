package live_test

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/capture/live"
	"github.com/pillion-mesh/pillion/internal/capture/plan"
)

// kernel is what the sets hold, with a clock.
type kernel struct {
	mu    sync.Mutex
	sets  map[string]map[plan.Element]bool
	fails error
	calls int
	clock time.Time
}

func newKernel() *kernel {
	return &kernel{sets: map[string]map[plan.Element]bool{}, clock: time.Unix(1_000_000, 0)}
}

func (k *kernel) now() time.Time { return k.clock }

func (k *kernel) AddElements(set string, list []plan.Element) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.fails != nil {
		return k.fails
	}
	if k.sets[set] == nil {
		k.sets[set] = map[plan.Element]bool{}
	}
	for _, e := range list {
		k.sets[set][e] = true
	}
	return nil
}

func (k *kernel) RemoveElements(lists map[string][]plan.Element) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.calls++
	if k.fails != nil {
		return k.fails
	}
	for set, list := range lists {
		for _, e := range list {
			delete(k.sets[set], e)
		}
	}
	return nil
}

func vip(n int) plan.Element {
	return plan.Element{Addr: netip.AddrFrom4([4]byte{240, byte(n >> 16), byte(n >> 8), byte(n)})}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestTimeToLive(t *testing.T) {
	k := newKernel()
	l := live.New(k, k.now)
	must(t, l.Add(plan.SetVIP4, time.Minute, vip(1), vip(2)))
	must(t, l.Add(plan.SetVIP4, 0, vip(3)))
	must(t, l.Add(plan.SetVIP4, time.Second, vip(3), vip(1))) // neither shortens anything
	must(t, l.Add(plan.SetVIP4, time.Hour, vip(2)))
	for _, step := range []struct {
		after time.Duration
		want  []int
	}{{59 * time.Second, []int{1, 2, 3}}, {time.Second, []int{2, 3}}, {time.Hour, []int{3}}, {1000 * time.Hour, []int{3}}} {
		k.clock = k.clock.Add(step.after)
		_, err := l.Sweep()
		must(t, err)
		for i := 1; i <= 3; i++ {
			want := false
			for _, w := range step.want {
				want = want || w == i
			}
			if k.sets[plan.SetVIP4][vip(i)] != want {
				t.Errorf("after %s more: VIP %d there: %t", step.after, i, !want)
			}
		}
	}
}

func TestRemoveIsLazyAndAddTakesItBack(t *testing.T) {
	k := newKernel()
	l := live.New(k, k.now)
	must(t, l.Add(plan.SetVIP4, 0, vip(1), vip(2)))
	must(t, l.Remove(plan.SetVIP4, vip(1), vip(2), vip(99))) // the last is nobody's
	if k.calls != 0 {
		t.Error("Remove went to the kernel at once")
	}
	must(t, l.Add(plan.SetVIP4, 0, vip(2)))
	removed, err := l.Sweep()
	must(t, err)
	if removed != 2 || k.sets[plan.SetVIP4][vip(1)] || !k.sets[plan.SetVIP4][vip(2)] {
		t.Errorf("removed %d, left %v", removed, k.sets)
	}
}

func TestDisarmingIsImmediate(t *testing.T) {
	k := newKernel()
	l := live.New(k, k.now)
	tcp := plan.Element{Proto: plan.TCP}
	must(t, l.Add(plan.SetArmed, 0, tcp))
	must(t, l.Remove(plan.SetArmed, tcp))
	if len(k.sets[plan.SetArmed]) != 0 {
		t.Error("still armed")
	}
}

func TestSweepIsBoundedAndTakesTheOldestFirst(t *testing.T) {
	k := newKernel()
	l := live.New(k, k.now)
	for i := range 3 {
		for n := range 700 {
			must(t, l.Add(plan.SetVIP4, time.Duration(i+1)*time.Second, vip(i*700+n)))
		}
	}
	k.clock = k.clock.Add(time.Minute)
	for _, want := range []int{1000, 1000, 100, 0} {
		removed, err := l.Sweep()
		must(t, err)
		if removed != want {
			t.Errorf("removed %d, want %d", removed, want)
		}
		if want == 1000 && k.sets[plan.SetVIP4][vip(0)] {
			t.Error("the oldest is still there")
		}
	}
	if k.calls != 3 {
		t.Errorf("%d transactions, want 3", k.calls)
	}
}

func TestRefusalsChangeNothing(t *testing.T) {
	k := newKernel()
	l := live.New(k, k.now)
	must(t, l.Add(plan.SetVIP4, time.Second, vip(1)))
	k.clock, k.fails = k.clock.Add(time.Minute), errors.New("refused")
	if err := l.Add(plan.SetVIP4, 0, vip(2)); err == nil {
		t.Error("Add swallowed the error")
	}
	if _, err := l.Sweep(); err == nil {
		t.Error("Sweep swallowed the error")
	}
	k.fails = nil
	if removed, err := l.Sweep(); removed != 1 || err != nil {
		t.Errorf("the next sweep removed %d, %v", removed, err)
	}
}

func TestFull(t *testing.T) {
	k := newKernel()
	l := live.New(k, k.now)
	var list []plan.Element
	for n := range 1 << 16 {
		list = append(list, vip(n))
	}
	must(t, l.Add(plan.SetVIP4, 0, list...))
	must(t, l.Add(plan.SetVIP4, 0, vip(5)))
	if err := l.Add(plan.SetVIP4, 0, vip(1<<16)); !errors.Is(err, live.ErrFull) {
		t.Errorf("got %v", err)
	}
	if err := l.Remove(plan.SetVIP4, vip(1<<16)); !errors.Is(err, live.ErrFull) {
		t.Errorf("got %v", err)
	}
}

func TestRestore(t *testing.T) {
	k := newKernel()
	l := live.New(k, k.now)
	must(t, l.Add(plan.SetVIP4, 0, vip(1)))
	must(t, l.Add(plan.SetVIP4, time.Second, vip(2)))
	k.clock, k.sets = k.clock.Add(time.Minute), map[string]map[plan.Element]bool{}
	must(t, l.Restore())
	if d := fmt.Sprint(k.sets[plan.SetVIP4]); len(k.sets[plan.SetVIP4]) != 1 || !k.sets[plan.SetVIP4][vip(1)] {
		t.Error(d)
	}
}
