package telemetry

import (
	"io"
	"os"
	"sync"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/format"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// LogOptions are what access logs need of the outside world.
type LogOptions struct {
	Stdout, Stderr io.Writer
	// Open opens a log file for appending; nil: the system's.
	Open func(path string) (io.WriteCloser, error)
	// Flush is the longest a line waits; 0: one second.
	Flush   time.Duration
	Dropped *Counter // lines that were lost; nil: nobody counts
	// Runtime returns how many of a million pass for a runtime key, or the default given; nil: the default.
	Runtime func(key string, perMillion uint32) uint32
	// Random chooses what a fraction takes; nil: the system's.
	Random func() uint64
	// Remote returns what tells a collector of an exchange, without waiting for it; nil: there are only files.
	Remote func(*config.RemoteLog) func(*stream.Exchange)
}

// Logs are the access logs of the process: one writer a file, whoever logs to it. Close stops them.
type Logs struct {
	opts LogOptions

	mu    sync.Mutex
	sinks map[string]*sink
	done  bool
}

// LogSet are the access logs of one listener, connection manager or TCP proxy, ready to log to. A nil set logs nothing.
type LogSet struct{ logs []setLog }

type setLog struct {
	filter *filter
	format *format.Format
	sink   *sink
	remote func(*stream.Exchange) // instead of format and sink
}

// NewLogs returns Logs without any log.
func NewLogs(o LogOptions) *Logs { return &Logs{opts: o.withDefaults(), sinks: map[string]*sink{}} }

func (o LogOptions) withDefaults() LogOptions {
	if o.Open == nil {
		o.Open = openFile
	}
	if o.Flush <= 0 {
		o.Flush = flushInterval
	}
	if o.Dropped == nil {
		o.Dropped = new(Counter)
	}
	return o
}

const logMode = 0o644

func openFile(path string) (io.WriteCloser, error) {
	return os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, logMode)
}

// For returns the logs configured. What can't be compiled was refused when the configuration was decoded; here it is
// left out.
func (l *Logs) For(configured []*config.AccessLog) *LogSet {
	set := &LogSet{}
	for _, c := range configured {
		if c.Remote != nil {
			if l.opts.Remote != nil {
				set.logs = append(set.logs, setLog{filter: l.compileFilter(c.Filter), remote: l.opts.Remote(c.Remote)})
			}
			continue
		}
		f, err := compileLog(c.Format)
		if err != nil {
			continue
		}
		set.logs = append(set.logs, setLog{filter: l.compileFilter(c.Filter), format: f, sink: l.sink(c.Path)})
	}
	return set
}

// compileLog compiles a log's format; without one it is Envoy's own.
func compileLog(c *config.Format) (*format.Format, error) {
	if c == nil {
		return format.CompileLine(format.Default)
	}
	return format.New(c)
}

// sink returns the writer of a file; all logs with that path share it.
func (l *Logs) sink(path string) *sink {
	l.mu.Lock()
	defer l.mu.Unlock()
	if found := l.sinks[path]; found != nil {
		return found
	}
	s := newSink(l.opener(path), l.opts.Flush, l.opts.Dropped)
	if l.done {
		s.close(0)
	}
	l.sinks[path] = s
	return s
}

// opener returns what opens the file, again after Reopen. Standard output and error stay open.
func (l *Logs) opener(path string) func() (io.WriteCloser, error) {
	switch path {
	case "", "/dev/stdout":
		return func() (io.WriteCloser, error) { return keepOpen{l.opts.Stdout}, nil }
	case "/dev/stderr":
		return func() (io.WriteCloser, error) { return keepOpen{l.opts.Stderr}, nil }
	}
	return func() (io.WriteCloser, error) { return l.opts.Open(path) }
}

type keepOpen struct{ io.Writer }

func (keepOpen) Close() error { return nil }

// Reopen makes every log open its file anew before it writes the next line: files may have been moved away.
func (l *Logs) Reopen() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.sinks {
		s.reopen.Store(true)
	}
}

// Close writes what is left and stops. Sinks that don't take it in 200 ms lose it: the process must end.
func (l *Logs) Close() {
	l.mu.Lock()
	sinks := l.sinks
	l.done = true
	l.mu.Unlock()
	for _, s := range sinks {
		s.stopSoon()
	}
	deadline := time.Now().Add(closeWait)
	for _, s := range sinks {
		s.close(time.Until(deadline))
	}
}

var lineBuffers = sync.Pool{New: func() any { return new([]byte) }}

// biggestLine is the most a pooled line buffer keeps.
const biggestLine = 16 << 10

// Log writes a line to each log whose filter takes x. It waits neither for a file nor for a collector.
func (s *LogSet) Log(x *stream.Exchange) {
	if s == nil {
		return
	}
	for i := range s.logs {
		if l := &s.logs[i]; l.filter.takes(x) {
			l.log(x)
		}
	}
}

func (l *setLog) log(x *stream.Exchange) {
	if l.remote != nil {
		l.remote(x)
		return
	}
	buffer := lineBuffers.Get().(*[]byte)
	*buffer = l.format.Append((*buffer)[:0], x)
	l.sink.add(*buffer)
	if cap(*buffer) <= biggestLine {
		lineBuffers.Put(buffer)
	}
}
