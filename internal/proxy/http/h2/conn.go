package h2

import (
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/http/codec"
	"github.com/pillion-mesh/pillion/internal/proxy/http/h2/hpack"
)

// conn is what a server's and a client's connection share. The goroutine in run reads; everything under mu is changed
// by it and by the goroutines of streams.
type conn struct {
	nc     net.Conn
	raw    syscall.RawConn // nil: nc is no bare socket
	opts   Options
	client bool
	// head takes what a whole header block, decoded into in.msg, means to this side. It is called without mu.
	head func(h frameHeader) error

	in input // the reader's own

	mu      sync.Mutex
	changed sync.Cond // flushing, active or the peer's settings have changed, or a stream was interrupted
	streams map[uint32]*core
	active  int    // a server's running handlers, a client's open streams
	highest uint32 // id of the latest stream, whoever opens them
	closed  closedRing
	dead    error // why there are no streams any more
	guard   guard
	peer    peerSettings

	out      output
	encoder  hpack.Encoder
	sendable int64   // the connection's window to the peer
	waiters  []*core // writers that wait for it, or for room in out
	window   int64   // what the peer may still send
	credit   int64   // what it will be allowed besides

	away  awayState
	timer timerState
}

// peerSettings are what the peer's SETTINGS say.
type peerSettings struct {
	come    bool
	streams uint32
	window  int64
	connect bool
	acked   bool // the peer knows ours
}

// assumedStreams may be opened before the peer's SETTINGS: what RFC 9113 section 6.5.2 asks servers for at least.
const assumedStreams = 100

func (c *conn) init(nc net.Conn, o Options, client bool) {
	c.nc, c.opts, c.client = nc, o.withDefaults(), client
	c.raw = bareSocket(nc)
	c.changed.L = &c.mu
	c.streams = map[uint32]*core{}
	c.encoder = *hpack.NewEncoder()
	c.in.init(c.opts)
	c.sendable, c.window = rfcWindow, int64(c.opts.ConnectionWindow)
	c.peer = peerSettings{streams: assumedStreams, window: rfcWindow}
	c.opts.Read = nil
	c.startTimer()
}

// greet queues our SETTINGS, and the window of the connection, which has no setting.
func (c *conn) greet(settings ...settingValue) {
	settings = append(settings, settingValue{settingWindow, c.opts.StreamWindow},
		settingValue{settingHeadBytes, c.opts.MaxHeadBytes})
	if c.opts.HeaderTable != hpack.DefaultTableSize {
		settings = append(settings, settingValue{settingTableSize, c.opts.HeaderTable})
	}
	c.out.bytes = appendSettings(c.out.bytes, settings...)
	if more := c.opts.ConnectionWindow - rfcWindow; more > 0 {
		c.out.bytes = appendWindowUpdate(c.out.bytes, 0, more)
	}
}

// run reads until the connection is over, tells the peer why, and closes it.
func (c *conn) run() error {
	err := c.read()
	if errors.Is(err, errStopped) || errors.Is(err, io.EOF) && c.unused() {
		err = nil
	}
	c.shut(err)
	return err
}

// unused reports whether there are no streams.
func (c *conn) unused() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.active == 0
}

// errStopped ends the reader of a connection that needn't be read any more.
var errStopped = errors.New("the connection is drained")

// shut ends all streams, sends GOAWAY if there is anything to say, and closes.
func (c *conn) shut(err error) {
	c.mu.Lock()
	var why *Error
	told := errors.As(err, &why)
	if told {
		c.count(why)
		c.out.bytes = appendGoAway(c.out.bytes, c.lastProcessed(), why.Code, why.Reason)
	}
	c.failLocked(errors.Join(net.ErrClosed, err))
	c.timer.stop()
	_ = c.nc.SetWriteDeadline(time.Now().Add(lingerTime))
	for c.out.flushing {
		c.changed.Wait()
	}
	c.flushLocked()
	c.mu.Unlock()
	if !c.client && (told || err == nil) {
		c.linger()
	}
	_ = c.nc.Close()
	c.in.free()
}

func (c *conn) count(why *Error) {
	switch {
	case why.Flood:
		c.opts.Counters.Floods.Add(1)
	case why.Code != NoError:
		c.opts.Counters.ProtocolErrors.Add(1)
	}
}

const (
	lingerTime  = time.Second
	lingerBytes = 64 << 10
)

// linger reads on for a moment: closing a socket with unread bytes sends RST, which can eat our GOAWAY.
func (c *conn) linger() {
	half, ok := c.nc.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	_ = c.nc.SetReadDeadline(time.Now().Add(lingerTime))
	_, _ = io.CopyN(io.Discard, struct{ io.Reader }{c.nc}, lingerBytes)
}

// failLocked ends every stream whose messages aren't complete.
func (c *conn) failLocked(err error) {
	if c.dead == nil {
		c.dead = err
	}
	failure := &codec.Failure{Reason: codec.Termination, Err: err}
	for id, s := range c.streams {
		delete(c.streams, id)
		s.failLocked(failure)
	}
	c.changed.Broadcast()
}

// stopLocked makes the reader return, from any goroutine.
func (c *conn) stopLocked() {
	c.away.stopped = true
	_ = c.nc.SetReadDeadline(time.Unix(1, 0))
}

// lastProcessed is what GOAWAY says: the peer's latest stream; a client's peer opens none.
func (c *conn) lastProcessed() uint32 {
	if c.client {
		return 0
	}
	return c.highest
}
