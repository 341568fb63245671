package telemetry

import (
	"io"
	"sync"
	"time"
)

// Bounds of the access log: a line waits at most flushInterval, and at most ringBytes wait for a slow reader.
const (
	ringBytes     = 1 << 20
	flushBytes    = 64 << 10
	flushInterval = time.Second
	closeWait     = 200 * time.Millisecond
)

// AccessLog writes lines to a sink without ever making a connection wait for it: what doesn't fit is dropped and
// counted. Close stops it.
type AccessLog struct {
	format  Format
	sink    io.Writer
	dropped *Counter

	mu      sync.Mutex
	pending []byte
	spare   []byte

	wake chan struct{} // there is enough to write now
	stop chan struct{}
	done chan struct{}
	once sync.Once
}

// NewAccessLog starts a log writing to sink; dropped counts lines that were lost.
func NewAccessLog(sink io.Writer, format Format, dropped *Counter) *AccessLog {
	l := &AccessLog{
		format: format, sink: sink, dropped: dropped,
		wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
	}
	go l.run()
	return l
}

// Log adds the line of e.
func (l *AccessLog) Log(e *Entry) {
	l.mu.Lock()
	before := len(l.pending)
	l.pending = l.format.Append(l.pending, e)
	if len(l.pending) > ringBytes {
		l.pending = l.pending[:before]
		l.dropped.Add(1)
	}
	full := before < flushBytes && len(l.pending) >= flushBytes
	first := before == 0
	l.mu.Unlock()
	if full || first {
		l.nudge()
	}
}

func (l *AccessLog) nudge() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Close writes what is left and stops. A sink that doesn't take it in 200 ms loses it: the process must end.
func (l *AccessLog) Close() {
	l.once.Do(func() { close(l.stop) })
	timer := time.NewTimer(closeWait)
	defer timer.Stop()
	select {
	case <-l.done:
	case <-timer.C:
	}
}

// run sleeps without a timer while there is nothing to write, so that an idle proxy uses no CPU for its log.
func (l *AccessLog) run() {
	defer close(l.done)
	for {
		select {
		case <-l.stop:
			l.write()
			return
		case <-l.wake:
		}
		if l.waitForMore() {
			l.write()
			return
		}
		l.write()
	}
}

// waitForMore collects lines until there are enough of them or the first has waited long enough. It reports whether
// the log is being closed.
func (l *AccessLog) waitForMore() (closing bool) {
	timer := time.NewTimer(flushInterval)
	defer timer.Stop()
	for {
		l.mu.Lock()
		enough := len(l.pending) >= flushBytes
		l.mu.Unlock()
		if enough {
			return false
		}
		select {
		case <-l.stop:
			return true
		case <-timer.C:
			return false
		case <-l.wake:
		}
	}
}

func (l *AccessLog) write() {
	l.mu.Lock()
	out := l.pending
	l.pending = l.spare[:0]
	l.mu.Unlock()
	if len(out) > 0 {
		if _, err := l.sink.Write(out); err != nil {
			l.dropped.Add(countLines(out))
		}
	}
	if cap(out) > 2*flushBytes {
		out = nil // a burst's buffer is not kept
	}
	l.spare = out
}

func countLines(text []byte) (n uint64) {
	for _, c := range text {
		if c == '\n' {
			n++
		}
	}
	return n
}
