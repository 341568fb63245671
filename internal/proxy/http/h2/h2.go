// Package h2 carries HTTP/2 connections, RFC 9113, for the proxy: bytes of a client come in and its requests go out as
// streams for the HTTP core (NewServer), requests of the core come in and go out over one connection to a server
// (NewClient). Its streams are codec.Downstream and codec.Upstream.
//
// A connection costs one goroutine, which reads. It never waits for a stream or for the socket to take bytes: frames
// are appended to one queue, and whoever needs them sent writes all of the queue at once. Flow control gives credit as
// bytes are forwarded, so a slow side holds back the other and at most a connection's window is buffered.
//
// Read conn.go first, then read.go (bytes to frames), frames.go (what each does), stream.go and write.go. guard.go has
// the limits a peer can't talk us beyond.
package h2

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/http/codec"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// Options shape one connection. Zero values mean the defaults below; durations of 0 mean never.
type Options struct {
	MaxStreams       uint32 // a server's peer may have open at once, a client uses at once; 1024
	StreamWindow     uint32 // bytes; 256 KiB
	ConnectionWindow uint32 // bytes; 1 MiB
	HeaderTable      uint32 // bytes; 4096
	MaxHeadBytes     uint32 // of a decoded head; 60 KiB
	MaxHeaders       uint32 // fields of a head; 100
	AllowConnect     bool   // extended CONNECT, RFC 8441
	Underscores      config.Underscores

	KeepAliveInterval time.Duration // between PINGs
	KeepAliveTimeout  time.Duration // for the answer; 20 s
	IdleTimeout       time.Duration // without streams
	HeadTimeout       time.Duration // for the preface, and for each frame or head that has begun
	DrainTimeout      time.Duration // between the two GOAWAYs if the peer doesn't answer PING; 5 s

	Read     []byte    // what was read from the connection already
	Counters *Counters // nil: not counted
	Crew     *Crew     // of a server: who carries out requests; nil: somebody new each time
	// Refused is told of a client's request that broke a rule and wasn't handed out; nil: nobody is. It may not call the
	// connection. The request is what was understood of it, and the caller's again when Refused returns.
	Refused func(request *stream.Request, why *codec.Failure)
	Closed  func() // called when a client's connection has been closed; nil: nobody is told
}

// FromConfig are the options http2_protocol_options ask for.
func FromConfig(o config.HTTP2Options) Options {
	return Options{MaxStreams: o.MaxStreams, StreamWindow: o.StreamWindow, ConnectionWindow: o.ConnectionWindow,
		HeaderTable: o.HeaderTable, AllowConnect: o.AllowConnect,
		KeepAliveInterval: o.KeepAliveInterval, KeepAliveTimeout: o.KeepAliveTimeout}
}

// Counters count what went wrong on the connections that share them.
type Counters struct {
	ProtocolErrors atomic.Uint64 // connections closed for breaking the rules
	Floods         atomic.Uint64 // connections closed by a flood guard
	StreamErrors   atomic.Uint64 // streams reset for breaking the rules
	HeadsTooLarge  atomic.Uint64 // 431 answered
	Refused        atomic.Uint64 // streams over MaxStreams
	ResetsReceived atomic.Uint64
	ResetsSent     atomic.Uint64
}

const (
	defaultMaxStreams   = 1024
	defaultStreamWindow = 256 << 10
	defaultConnWindow   = 1 << 20
	defaultHeadBytes    = 60 << 10
	defaultHeaders      = 100
	rfcWindow           = 65535 // what both sides begin with
	maxWindow           = math.MaxInt32
)

func (o Options) withDefaults() Options {
	o.MaxStreams = or(o.MaxStreams, defaultMaxStreams)
	o.StreamWindow = min(or(o.StreamWindow, defaultStreamWindow), maxWindow)
	o.ConnectionWindow = min(max(or(o.ConnectionWindow, defaultConnWindow), rfcWindow), maxWindow)
	o.HeaderTable = or(o.HeaderTable, 4096)
	o.MaxHeadBytes = or(o.MaxHeadBytes, defaultHeadBytes)
	o.MaxHeaders = or(o.MaxHeaders, defaultHeaders)
	o.KeepAliveTimeout = or(o.KeepAliveTimeout, 20*time.Second)
	o.DrainTimeout = or(o.DrainTimeout, 5*time.Second)
	if o.Counters == nil {
		o.Counters = &Counters{}
	}
	return o
}

func or[T comparable](value, fallback T) T {
	var zero T
	if value == zero {
		return fallback
	}
	return value
}
