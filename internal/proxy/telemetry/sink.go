package telemetry

import (
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of an access log: a line waits at most flushInterval, unless told otherwise, and at most ringBytes wait for a
// slow reader.
const (
	ringBytes     = 1 << 20
	flushBytes    = 64 << 10
	flushInterval = time.Second
	closeWait     = 200 * time.Millisecond
)

// sink writes lines to a file without ever making a connection wait for it: what doesn't fit is dropped and counted.
type sink struct {
	open    func() (io.WriteCloser, error)
	flush   time.Duration
	dropped *Counter
	reopen  atomic.Bool // before the next write

	mu      sync.Mutex
	pending []byte
	spare   []byte

	out  io.WriteCloser // of run alone; nil: not open
	wake chan struct{}  // there is enough to write now
	stop chan struct{}
	done chan struct{}
	once sync.Once
}

func newSink(open func() (io.WriteCloser, error), flush time.Duration, dropped *Counter) *sink {
	s := &sink{
		open: open, flush: flush, dropped: dropped,
		wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
	}
	go s.run()
	return s
}

// add queues a line.
func (s *sink) add(line []byte) {
	s.mu.Lock()
	before := len(s.pending)
	if before+len(line) > ringBytes {
		s.mu.Unlock()
		s.dropped.Add(1)
		return
	}
	s.pending = append(s.pending, line...)
	after := len(s.pending)
	s.mu.Unlock()
	if before == 0 || before < flushBytes && after >= flushBytes {
		s.nudge()
	}
}

func (s *sink) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *sink) stopSoon() { s.once.Do(func() { close(s.stop) }) }

// close waits at most so long for what is left to be written.
func (s *sink) close(wait time.Duration) {
	s.stopSoon()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-s.done:
	case <-timer.C:
	}
}

// run sleeps without a timer while there is nothing to write, so that an idle proxy uses no CPU for its log.
func (s *sink) run() {
	defer close(s.done)
	for closing := false; !closing; {
		select {
		case <-s.stop:
			closing = true
		case <-s.wake:
			closing = s.waitForMore()
		}
		s.write()
	}
	if s.out != nil {
		_ = s.out.Close()
	}
}

// waitForMore collects lines until there are enough of them or the first has waited long enough. It reports whether
// the log is being closed.
func (s *sink) waitForMore() (closing bool) {
	timer := time.NewTimer(s.flush)
	defer timer.Stop()
	for {
		s.mu.Lock()
		enough := len(s.pending) >= flushBytes
		s.mu.Unlock()
		if enough {
			return false
		}
		select {
		case <-s.stop:
			return true
		case <-timer.C:
			return false
		case <-s.wake:
		}
	}
}

func (s *sink) write() {
	s.mu.Lock()
	lines := s.pending
	s.pending = s.spare[:0]
	s.mu.Unlock()
	if len(lines) > 0 && !s.writeOut(lines) {
		s.dropped.Add(countLines(lines))
	}
	if cap(lines) > 2*flushBytes {
		lines = nil // a burst's buffer is not kept
	}
	s.spare = lines
}

// writeOut opens the file if it isn't open or has to be opened again; a file that can't be opened is tried again at the
// next write.
func (s *sink) writeOut(lines []byte) bool {
	if s.reopen.Swap(false) && s.out != nil {
		_ = s.out.Close()
		s.out = nil
	}
	if s.out == nil {
		out, err := s.open()
		if err != nil {
			return false
		}
		s.out = out
	}
	_, err := s.out.Write(lines)
	return err == nil
}

func countLines(text []byte) (n uint64) {
	for _, c := range text {
		if c == '\n' {
			n++
		}
	}
	return n
}
