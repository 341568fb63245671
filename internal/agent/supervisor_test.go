package agent

import (
	"context"
	"errors"
	"io"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"

	"github.com/pillion-mesh/pillion/internal/agent/control"
)

// script is a child that does what a test says. Times are of synctest's clock.
type script struct {
	epoch   int
	inbox   chan incoming
	exited  chan Exit
	told    chan control.Type
	ignores map[syscall.Signal]bool
	once    sync.Once

	mu      sync.Mutex
	signals []syscall.Signal
	deaf    bool
}

func newScript(epoch int) *script {
	return &script{epoch: epoch, inbox: make(chan incoming, 16), exited: make(chan Exit, 1), told: make(chan control.Type, 16), ignores: map[syscall.Signal]bool{}}
}

func (s *script) PID() int               { return 1000 + s.epoch }
func (s *script) Inbox() <-chan incoming { return s.inbox }
func (s *script) Exited() <-chan Exit    { return s.exited }
func (s *script) LastWords() string      { return "panic: scripted" }
func (s *script) Release()               {}
func (s *script) say(t control.Type) {
	s.inbox <- incoming{message: control.Message{Type: t, Epoch: s.epoch}}
}
func (s *script) exit(e Exit) { s.once.Do(func() { s.exited <- e }) }
func (s *script) Send(m control.Message, _ []int) error {
	if s.deaf {
		return syscall.EPIPE
	}
	s.told <- m.Type
	return nil
}

func (s *script) Signal(sig syscall.Signal) error {
	s.mu.Lock()
	s.signals = append(s.signals, sig)
	s.mu.Unlock()
	if !s.ignores[sig] {
		s.exit(Exit{Code: -1, Signal: sig})
	}
	return nil
}

func (s *script) got(sig syscall.Signal) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.signals {
		if g == sig {
			return true
		}
	}
	return false
}

// serve does everything right.
func (s *script) serve() {
	s.say(control.Hello)
	s.say(control.Ready)
	s.say(control.Accepting)
}

func (s *script) beat(active int, draining bool) {
	s.inbox <- incoming{message: control.Message{Type: control.Beat, Epoch: s.epoch, Active: active, Draining: draining}}
}

// stage runs a supervisor over scripted children, in synctest's time.
type stage struct {
	*Supervisor
	t        *testing.T
	children chan *script
	result   chan error
	cancel   context.CancelFunc
}

func newStage(t *testing.T) *stage {
	s := &stage{t: t, children: make(chan *script, 32), result: make(chan error, 1)}
	s.Supervisor = NewSupervisor(SupervisorOptions{
		Start: func(epoch int) (child, error) {
			c := newScript(epoch)
			s.children <- c
			return c, nil
		},
		Names: []string{"15001/tcp4"}, FDs: []int{0}, Limits: DefaultLimits, Log: logr.Discard(),
		OOMKill: func() uint64 { return 0 },
	})
	var ctx context.Context
	ctx, s.cancel = context.WithCancel(context.Background())
	go func() { s.result <- s.Run(ctx) }()
	return s
}

func (s *stage) next() *script { return <-s.children }

// end stops the supervisor; synctest fails a test that leaves goroutines.
func (s *stage) end() {
	s.cancel()
	<-s.result
}

func (s *stage) want(state State) {
	s.t.Helper()
	synctest.Wait()
	if got := s.Status().State; got != state {
		s.t.Errorf("state %s, want %s", got, state)
	}
}

func TestChildServes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		defer s.end()
		c := s.next()
		s.want(Starting)
		c.say(control.Hello)
		s.want(Warming)
		if got := <-c.told; got != control.Sockets {
			t.Errorf("after HELLO the child is told %s", got)
		}
		c.say(control.Ready)
		if got := <-c.told; got != control.Accept {
			t.Errorf("after READY the child is told %s", got)
		}
		s.want(Warming)
		c.say(control.Accepting)
		s.want(Serving)
		c.beat(3, false)
		synctest.Wait()
		if st := s.Status(); !st.Healthy || st.Active != 3 || st.PID != 1000 || st.Epoch != 0 {
			t.Errorf("status %+v", st)
		}
	})
}

// TestMessages: each message late, twice, wrong or missing. Before a child serves it is replaced for that; afterwards
// its connections are worth more than order.
func TestMessages(t *testing.T) {
	for _, c := range []struct {
		name   string
		script func(*script)
		dies   bool
		after  time.Duration // when it is killed
	}{
		{"no HELLO", func(*script) {}, true, 5 * time.Second},
		{"HELLO late", func(s *script) { time.Sleep(4 * time.Second); s.serve() }, false, 0},
		{"HELLO of another epoch", func(s *script) { s.inbox <- incoming{message: control.Message{Type: control.Hello, Epoch: 7}} }, true, 0},
		{"HELLO twice", func(s *script) { s.say(control.Hello); s.say(control.Hello) }, true, 0},
		{"HELLO while serving", func(s *script) { s.serve(); s.say(control.Hello) }, false, 0},
		{"no READY", func(s *script) { s.say(control.Hello) }, false, 0},
		{"READY first", func(s *script) { s.say(control.Ready) }, true, 0},
		{"READY an hour late", func(s *script) {
			s.say(control.Hello)
			time.Sleep(time.Hour)
			s.say(control.Ready)
			s.say(control.Accepting)
		}, false, 0},
		{"READY twice", func(s *script) { s.say(control.Hello); s.say(control.Ready); s.say(control.Ready) }, true, 0},
		{"READY while serving", func(s *script) { s.serve(); s.say(control.Ready) }, false, 0},
		{"ACCEPTING first", func(s *script) { s.say(control.Accepting) }, true, 0},
		{"ACCEPTING without ACCEPT", func(s *script) { s.say(control.Hello); s.say(control.Accepting) }, true, 0},
		{"no ACCEPTING", func(s *script) { s.say(control.Hello); s.say(control.Ready) }, true, 5 * time.Second},
		{"BEAT first", func(s *script) { s.beat(1, false) }, true, 0},
		{"unknown at the start", func(s *script) { s.say("SING") }, true, 0},
		{"unknown while serving", func(s *script) { s.serve(); s.say("SING") }, false, 0},
		{"no message at the start", func(s *script) { s.inbox <- incoming{err: &control.MessageError{Err: errors.New("x")}} }, true, 0},
		{"no message while serving", func(s *script) { s.serve(); s.inbox <- incoming{err: &control.MessageError{Err: errors.New("x")}} }, false, 0},
		{"hangs up", func(s *script) { s.serve(); s.inbox <- incoming{err: io.EOF}; close(s.inbox) }, true, 2 * time.Second},
		{"deaf", func(s *script) { s.deaf = true; s.say(control.Hello) }, true, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t)
				defer s.end()
				child := s.next()
				c.script(child)
				synctest.Wait()
				time.Sleep(c.after)
				synctest.Wait()
				if got := child.got(syscall.SIGKILL); got != c.dies {
					t.Fatalf("killed: %v, want %v", got, c.dies)
				}
				if c.dies {
					if again := s.next(); again.epoch != 1 {
						t.Errorf("the next epoch is %d, want 1", again.epoch)
					}
				}
			})
		})
	}
}

func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		defer s.end()
		c := s.next()
		c.ignores[syscall.SIGQUIT] = true
		c.serve()
		s.want(Serving)
		time.Sleep(9 * time.Second)
		synctest.Wait()
		if !s.Status().Healthy {
			t.Error("unhealthy after nine seconds")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if s.Status().Healthy {
			t.Error("healthy after ten seconds of silence")
		}
		c.beat(0, false)
		synctest.Wait()
		if !s.Status().Healthy {
			t.Error("unhealthy after a new BEAT")
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if !c.got(syscall.SIGQUIT) || c.got(syscall.SIGKILL) {
			t.Errorf("after a minute of silence the signals are %v", c.signals)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if !c.got(syscall.SIGKILL) {
			t.Error("it wasn't killed")
		}
	})
}

// TestBudget: restarts follow the schedule, and the eleventh in ten minutes is left to the kubelet.
func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		last := time.Now()
		for n, wait := range []time.Duration{0, 0, 1, 2, 4, 8, 16, 32, 60, 60} {
			c := s.next()
			if c.epoch != n {
				t.Errorf("start %d has epoch %d", n, c.epoch)
			}
			if took := time.Since(last); took != wait*time.Second {
				t.Errorf("epoch %d started after %v, want %ds", n, took, wait)
			}
			last = time.Now()
			c.exit(Exit{Code: 1})
		}
		if err := <-s.result; !errors.Is(err, errBudget) {
			t.Errorf("Run returned %v", err)
		}
		s.Drain(0) // must not block when nobody supervises any more
	})
}

func TestLongServiceResetsBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		defer s.end()
		for range 4 {
			s.next().exit(Exit{Code: 1})
		}
		c := s.next()
		c.serve()
		for range 11 * 60 {
			time.Sleep(time.Second)
			c.beat(0, false)
		}
		died := time.Now()
		c.exit(Exit{Code: 1})
		s.next()
		if took := time.Since(died); took != 0 {
			t.Errorf("the restart waited %v", took)
		}
	})
}

func TestStop(t *testing.T) {
	for _, c := range []struct {
		name     string
		stubborn bool
		took     time.Duration
	}{{"obedient", false, 0}, {"stubborn", true, 500 * time.Millisecond}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t)
				child := s.next()
				child.ignores[syscall.SIGTERM] = c.stubborn
				child.serve()
				s.want(Serving)
				began := time.Now()
				s.Stop(500 * time.Millisecond)
				if err := <-s.result; err != nil {
					t.Error(err)
				}
				if took := time.Since(began); took != c.took || child.got(syscall.SIGKILL) != c.stubborn {
					t.Errorf("ended after %v by %v", took, child.signals)
				}
			})
		})
	}
}

// TestStopHangsUp: a child that obeys closes its end first; that doesn't give it more time to die.
func TestStopHangsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		child := s.next()
		child.ignores[syscall.SIGTERM] = true
		child.serve()
		s.want(Serving)
		began := time.Now()
		s.Stop(500 * time.Millisecond)
		synctest.Wait()
		child.inbox <- incoming{err: io.EOF}
		close(child.inbox)
		if err := <-s.result; err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took != 500*time.Millisecond {
			t.Errorf("ended after %v by %v", took, child.signals)
		}
	})
}

// TestDrainOutlivesTheChild: a child started while the pod is going away is told so, too.
func TestDrainOutlivesTheChild(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		defer s.end()
		first := s.next()
		first.serve()
		s.want(Serving)
		s.Drain(time.Minute)
		s.want(Draining)
		first.beat(1, false)
		first.beat(0, true)
		synctest.Wait()
		if !s.Status().Drained {
			t.Error("no connection is left, but it isn't drained")
		}
		first.exit(Exit{Code: -1, Signal: syscall.SIGSEGV})
		second := s.next()
		second.serve()
		s.want(Draining)
	})
}

// TestStaleBeat: what was counted before DRAIN says nothing about connections accepted since.
func TestStaleBeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		defer s.end()
		c := s.next()
		c.serve()
		c.beat(0, false)
		s.want(Serving)
		s.Drain(time.Minute)
		c.beat(0, false)
		s.want(Draining)
		if s.Status().Drained {
			t.Error("drained by a count from before DRAIN")
		}
	})
}

func TestStartFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSupervisor(SupervisorOptions{
			Start:  func(int) (child, error) { return nil, errors.New("no such file") },
			Limits: DefaultLimits, Log: logr.Discard(), OOMKill: func() uint64 { return 0 },
		})
		if err := s.Run(t.Context()); !errors.Is(err, errBudget) {
			t.Errorf("Run returned %v", err)
		}
		if st := s.Status(); st.Starts != startBudget || st.LastExit != "not started: no such file" {
			t.Errorf("status %+v", st)
		}
	})
}
