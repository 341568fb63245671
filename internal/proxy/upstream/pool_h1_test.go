package upstream

import (
	"net"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/socket/sockettest"
)

// pooledConn is a connection to a listener of the test's, and its other end.
func pooledConn(t *testing.T, host *Host) (*H1Conn, net.Conn) {
	t.Helper()
	l := sockettest.Listen(t)
	defer l.Close()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	peer, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(); peer.Close() })
	return NewH1Conn(&Conn{Conn: conn, Host: host}, ""), peer
}

// poolHost is a host whose connections are counted like any other's.
func poolHost(t *testing.T) *Host {
	t.Helper()
	m := NewManager(Options{Tick: -1})
	t.Cleanup(m.Close)
	c := newCluster(m, static("pool"))
	c.apply(static("pool"))
	return &Host{cluster: c}
}

func TestPoolGivesTheLastUsedFirst(t *testing.T) {
	host, now := poolHost(t), time.Now()
	a, _ := pooledConn(t, host)
	b, _ := pooledConn(t, host)
	b.Key = "other"
	c, _ := pooledConn(t, host)
	for _, each := range []*H1Conn{a, b, c} {
		host.H1.Put(0, each, now)
	}
	for i, want := range []*H1Conn{c, a, nil} {
		if got := host.H1.Get(7, "", now); got != want {
			t.Errorf("%d: got %p, want %p", i, got, want)
		}
	}
	if host.H1.Idle() != 1 || host.H1.Get(0, "other", now) != b {
		t.Error("the other key's connection is gone")
	}
}

// TestPoolLooksBeforeUse: a connection that was closed, or brings bytes nobody asked for, isn't given out after a second.
func TestPoolLooksBeforeUse(t *testing.T) {
	for name, spoil := range map[string]func(net.Conn){
		"closed": func(peer net.Conn) { peer.Close() },
		"bytes":  func(peer net.Conn) { _, _ = peer.Write([]byte("x")) },
	} {
		t.Run(name, func(t *testing.T) {
			host, now := poolHost(t), time.Now()
			good, _ := pooledConn(t, host)
			bad, peer := pooledConn(t, host)
			host.H1.Put(0, good, now)
			host.H1.Put(0, bad, now)
			spoil(peer)
			for bad.alive() { // until the kernel has it
				time.Sleep(time.Millisecond)
			}
			if got := host.H1.Get(0, "", now.Add(2*time.Second)); got != good {
				t.Error("got the spoilt one")
			}
		})
	}
}

func TestPoolClosesInTime(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*PoolH1, *H1Conn, time.Time)
		age    time.Duration
		want   int
	}{
		"young":             {nil, 59 * time.Second, 1},
		"old":               {nil, 60 * time.Second, 0},
		"keep-alive":        {func(_ *PoolH1, c *H1Conn, _ time.Time) { c.KeepAlive = 10 * time.Second }, 9 * time.Second, 0},
		"before keep-alive": {func(_ *PoolH1, c *H1Conn, _ time.Time) { c.KeepAlive = 10 * time.Second }, 8 * time.Second, 1},
		"learned":           {func(p *PoolH1, _ *H1Conn, now time.Time) { p.learn(10*time.Second, now) }, 8 * time.Second, 0},
		"before learned":    {func(p *PoolH1, _ *H1Conn, now time.Time) { p.learn(10*time.Second, now) }, 7 * time.Second, 1},
		"learned long ago":  {func(p *PoolH1, _ *H1Conn, now time.Time) { p.learn(10*time.Second, now.Add(-11*time.Minute)) }, 8 * time.Second, 1},
		"gone host":         {func(p *PoolH1, _ *H1Conn, _ time.Time) { p.closeIdle() }, time.Second, 0},
	} {
		t.Run(name, func(t *testing.T) {
			host, now := poolHost(t), time.Now()
			conn, _ := pooledConn(t, host)
			host.H1.Put(0, conn, now)
			if c.change != nil {
				c.change(&host.H1, conn, now)
			}
			host.H1.tick(time.Minute, now.Add(c.age))
			if host.H1.Idle() != c.want {
				t.Errorf("%d idle, want %d", host.H1.Idle(), c.want)
			}
		})
	}
}

// TestPoolWakesInTurn: each connection that comes back or is closed wakes the first that waits.
func TestPoolWakesInTurn(t *testing.T) {
	host, now := poolHost(t), time.Now()
	first, second, third := host.H1.Queue(), host.H1.Queue(), host.H1.Queue()
	host.H1.Leave(second)
	woken := func(turn chan struct{}) bool {
		select {
		case <-turn:
			return true
		default:
			return false
		}
	}
	conn, _ := pooledConn(t, host)
	host.H1.Put(0, conn, now)
	if !woken(first) || woken(second) || woken(third) {
		t.Error("not the first")
	}
	host.H1.Drop(host.H1.Get(0, "", now))
	if !woken(third) || woken(second) {
		t.Error("not the third")
	}
}
