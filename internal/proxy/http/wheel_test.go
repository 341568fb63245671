package http

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

type lookedAt struct {
	times []int64
	next  int64
}

func (l *lookedAt) look(now int64) int64 {
	l.times = append(l.times, now)
	return l.next
}

func TestWheel(t *testing.T) {
	w := newWheel(time.Now())
	l := &lookedAt{next: 30}
	x := w.join(l)
	for now := int64(1); now <= 50; now++ {
		switch now {
		case 5:
			x.set(10)
		case 20:
			x.set(25)
		case 26:
			if len(l.times) != 2 {
				t.Fatalf("looked at %v", l.times)
			}
		case 31:
			l.next = 0
			x.set(40)
		}
		w.turn(now)
	}
	want := []int64{10, 25, 30, 40}
	if len(l.times) != len(want) {
		t.Fatalf("looked at %v, want %v", l.times, want)
	}
	for i := range want {
		if l.times[i] != want[i] {
			t.Fatalf("looked at %v, want %v", l.times, want)
		}
	}
	x.set(60)
	w.leave(x)
	w.turn(100)
	if len(l.times) != len(want) {
		t.Error("looked at after it left")
	}
}

// TestWheelTogether joins, sets and leaves while the wheel turns; the race detector is the judge.
func TestWheelTogether(t *testing.T) {
	w := newWheel(time.Now())
	stop := make(chan struct{})
	var turning, all sync.WaitGroup
	turning.Go(func() {
		for now := int64(1); ; now++ {
			select {
			case <-stop:
				return
			default:
				w.turn(now)
			}
		}
	})
	for range 8 {
		all.Go(func() {
			for range 300 {
				l := &lookedAt{next: 1}
				x := w.join(l)
				x.set(1)
				x.set(1 << 40)
				w.leave(x)
				l.times = nil // nobody else may touch it now
			}
		})
	}
	all.Wait()
	close(stop)
	turning.Wait()
	if got := len(*w.chunks.Load()); got != 1 {
		t.Errorf("%d chunks for eight watches", got)
	}
}

// TestWheelRests: an empty wheel turns slower and goes on sweeping; whoever joins wakes it, and finds its time right.
func TestWheelRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, done, swept := newWheel(time.Now()), make(chan struct{}), 0
		var running sync.WaitGroup
		running.Go(func() { w.run(done, func() { swept++ }) })
		resting := func() bool {
			synctest.Wait()
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.resting
		}
		for range 2 {
			if resting() {
				t.Error("it rests at once")
			}
			if time.Sleep(time.Minute); !resting() {
				t.Error("it doesn't rest")
			}
			l := &lookedAt{}
			x := w.join(l)
			now := w.now.Load()
			if age := w.since(time.Now()) - now; age != 0 {
				t.Errorf("it is %v late", time.Duration(age))
			}
			x.set(now + int64(tick))
			time.Sleep(2*tick + 1)
			if synctest.Wait(); len(l.times) != 1 {
				t.Errorf("looked at %d times", len(l.times))
			}
			if time.Sleep(time.Minute); resting() {
				t.Error("it rests while somebody waits")
			}
			w.leave(x)
		}
		close(done)
		if running.Wait(); swept < 230 || swept > 245 {
			t.Errorf("swept %d times in four minutes", swept)
		}
	})
}
