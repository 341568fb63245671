package upstream

import (
	"errors"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pillion-mesh/pillion/internal/proxy/socket"
)

// Times of idle HTTP/1.1 connections.
const (
	peekAfter   = time.Second      // longer idle ones are looked at before use
	learnFor    = 10 * time.Minute // how long it is remembered when a host closes idle connections
	learnShare  = 0.8              // of the time after which it closed one
	spareOfHost = time.Second      // before a Keep-Alive timeout ends
)

// H1Conn is a connection that speaks HTTP/1.1.
type H1Conn struct {
	*Conn
	Codec     any           // the engine's part of it
	Key       string        // only requests with the same key may use it: ALPN, SNI
	Requests  uint32        // sent on it
	KeepAlive time.Duration // how long the host says it keeps an idle one; below zero: it doesn't say

	raw   syscall.RawConn // nil: not a socket that can be looked at
	since time.Time       // idle since
}

// NewH1Conn wraps a connection that was just made.
func NewH1Conn(c *Conn, key string) *H1Conn {
	h := &H1Conn{Conn: c, Key: key, KeepAlive: -1}
	if s, ok := bottom(c.Conn).(syscall.Conn); ok {
		h.raw, _ = s.SyscallConn() // without it nobody looks
	}
	return h
}

// bottom is the socket below TLS.
func bottom(c net.Conn) net.Conn {
	if t, ok := c.(interface{ NetConn() net.Conn }); ok {
		return t.NetConn()
	}
	return c
}

// PoolH1 keeps a host's idle HTTP/1.1 connections, the last used first: what is never used ages and goes. The zero value
// is empty.
type PoolH1 struct {
	shards atomic.Pointer[[]h1Shard]
	limit  atomic.Int64 // learned idle limit in nanoseconds; 0: none
	until  atomic.Int64 // unix nanoseconds until which limit holds
	closed atomic.Bool

	waitMu  sync.Mutex
	waiting []chan struct{}
	waiters atomic.Int32
}

// h1Shard is used by some of the downstream connections, by their number: with as many shards as processors they rarely
// meet.
type h1Shard struct {
	mu   sync.Mutex
	idle []*H1Conn
	_    [64]byte // the next shard doesn't share our cache line
}

func (p *PoolH1) all() []h1Shard {
	if s := p.shards.Load(); s != nil {
		return *s
	}
	return nil
}

func (p *PoolH1) orMake() []h1Shard {
	if s := p.all(); s != nil {
		return s
	}
	made := make([]h1Shard, runtime.GOMAXPROCS(0))
	p.shards.CompareAndSwap(nil, &made)
	return p.all()
}

// Get takes an idle connection with that key out of the pool, nil if there is none. It comes from shard if that has one.
func (p *PoolH1) Get(shard uint64, key string, now time.Time) *H1Conn {
	shards := p.all()
	n := uint64(len(shards))
	for i := range n {
		s := &shards[(shard+i)%n]
		for {
			c := s.take(key)
			if c == nil {
				break
			}
			if now.Sub(c.since) <= peekAfter || c.alive() {
				return c
			}
			p.learn(now.Sub(c.since), now)
			_ = c.Close()
		}
	}
	return nil
}

func (s *h1Shard) take(key string) *H1Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := len(s.idle) - 1; i >= 0; i-- {
		if c := s.idle[i]; c.Key == key {
			copy(s.idle[i:], s.idle[i+1:])
			s.idle[len(s.idle)-1] = nil
			s.idle = s.idle[:len(s.idle)-1]
			return c
		}
	}
	return nil
}

// Put gives a connection whose answer is whole to the pool.
func (p *PoolH1) Put(shard uint64, c *H1Conn, now time.Time) {
	c.since = now
	shards := p.orMake()
	s := &shards[shard%uint64(len(shards))]
	s.mu.Lock()
	closed := p.closed.Load()
	if !closed {
		s.idle = append(s.idle, c)
	}
	s.mu.Unlock()
	if closed {
		_ = c.Close()
	}
	p.wake()
}

// Drop closes a connection that isn't used again.
func (p *PoolH1) Drop(c *H1Conn) {
	_ = c.Close()
	p.wake()
}

// Died tells that an idle connection was found closed when it was used.
func (p *PoolH1) Died(c *H1Conn, now time.Time) {
	if idle := now.Sub(c.since); idle > peekAfter {
		p.learn(idle, now)
	}
}

// learn remembers that the host closed a connection after it was idle for so long.
func (p *PoolH1) learn(idle time.Duration, now time.Time) {
	p.limit.Store(int64(float64(idle) * learnShare))
	p.until.Store(now.Add(learnFor).UnixNano())
}

// alive reports whether the other side hasn't closed and hasn't sent what nobody asked for.
func (c *H1Conn) alive() bool {
	if c.raw == nil {
		return true
	}
	alive := false
	var one [1]byte
	err := c.raw.Control(func(fd uintptr) {
		_, err := socket.Peek(fd, one[:])
		alive = errors.Is(err, unix.EAGAIN)
	})
	return alive && err == nil
}

// Queue puts a caller that may open no connection in the line. Its channel is closed when a connection came back or was
// closed: then, and once after Queue, it tries again. Leave must follow.
func (p *PoolH1) Queue() chan struct{} {
	turn := make(chan struct{})
	p.waitMu.Lock()
	defer p.waitMu.Unlock()
	p.waiting = append(p.waiting, turn)
	p.waiters.Store(int32(len(p.waiting))) //nolint:gosec // bounded by the circuit breaker
	return turn
}

// Leave ends the waiting.
func (p *PoolH1) Leave(turn chan struct{}) {
	p.waitMu.Lock()
	defer p.waitMu.Unlock()
	for i, each := range p.waiting {
		if each == turn {
			p.waiting = append(p.waiting[:i], p.waiting[i+1:]...)
			break
		}
	}
	p.waiters.Store(int32(len(p.waiting))) //nolint:gosec // it only shrank
}

// wake lets the first waiter try.
func (p *PoolH1) wake() {
	if p.waiters.Load() == 0 {
		return
	}
	p.waitMu.Lock()
	defer p.waitMu.Unlock()
	if len(p.waiting) > 0 {
		close(p.waiting[0])
		p.waiting = p.waiting[1:]
		p.waiters.Store(int32(len(p.waiting))) //nolint:gosec // it only shrank
	}
}

// tick closes connections that have been idle for longer than idle (0: for ever), than their host keeps them, or that
// their host closed.
func (p *PoolH1) tick(idle time.Duration, now time.Time) {
	shards := p.all()
	for i := range shards {
		for _, c := range p.expired(&shards[i], idle, now) {
			p.Drop(c)
		}
	}
}

func (p *PoolH1) expired(s *h1Shard, idle time.Duration, now time.Time) (out []*H1Conn) {
	learned := time.Duration(p.limit.Load())
	if now.UnixNano() > p.until.Load() {
		learned = 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := s.idle[:0]
	for _, c := range s.idle {
		age := now.Sub(c.since)
		switch {
		case c.over(age, idle), learned > 0 && age >= learned:
			out = append(out, c)
		case age > peekAfter && !c.alive():
			p.learn(age, now)
			out = append(out, c)
		default:
			kept = append(kept, c)
		}
	}
	clear(s.idle[len(kept):])
	s.idle = kept
	return out
}

// over reports whether c has been idle for as long as one side keeps it.
func (c *H1Conn) over(age, idle time.Duration) bool {
	return idle > 0 && age >= idle || c.KeepAlive >= 0 && age >= c.KeepAlive-spareOfHost
}

// closeIdle closes the idle connections of a host that is gone, and those that come back later.
func (p *PoolH1) closeIdle() {
	p.closed.Store(true)
	shards := p.all()
	for i := range shards {
		s := &shards[i]
		s.mu.Lock()
		idle := s.idle
		s.idle = nil
		s.mu.Unlock()
		for _, c := range idle {
			_ = c.Close()
		}
	}
}

// Idle is the number of idle connections.
func (p *PoolH1) Idle() (n int) {
	shards := p.all()
	for i := range shards {
		shards[i].mu.Lock()
		n += len(shards[i].idle)
		shards[i].mu.Unlock()
	}
	return n
}

// tickPools closes what is due in the pools of all hosts.
func (c *Cluster) tickPools(now time.Time) {
	idle := c.Config().HTTP.IdleTimeout
	for _, host := range c.pooled() {
		host.H1.tick(idle, now)
	}
}

// pooled are the hosts that have had a connection in their pool.
func (c *Cluster) pooled() (hosts []*Host) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, host := range c.known {
		if host.H1.all() != nil {
			hosts = append(hosts, host)
		}
	}
	for _, host := range c.originals.hosts {
		if host.H1.all() != nil {
			hosts = append(hosts, host)
		}
	}
	return hosts
}
