package telemetry

import (
	"io"
)

// AccessLog writes the lines of TCP connections to a sink. Close stops it.
type AccessLog struct {
	format Format
	sink   *sink
}

// NewAccessLog starts a log writing to sink; dropped counts lines that were lost.
func NewAccessLog(out io.Writer, format Format, dropped *Counter) *AccessLog {
	open := func() (io.WriteCloser, error) { return keepOpen{out}, nil }
	return &AccessLog{format, newSink(open, flushInterval, dropped)}
}

// Log adds the line of e.
func (l *AccessLog) Log(e *Entry) { l.sink.add(l.format.Append(nil, e)) }

// Close writes what is left and stops. A sink that doesn't take it in 200 ms loses it: the process must end.
func (l *AccessLog) Close() { l.sink.close(closeWait) }
