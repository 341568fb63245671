package ops

import (
	"cmp"
	"net"
	"net/netip"
	"sync"
)

const (
	defaultConns        = 256
	defaultConnsPerPeer = 32
)

// limitedListener closes connections beyond its limits as soon as they are accepted.
type limitedListener struct {
	net.Listener
	limits Limits

	mu    sync.Mutex
	total int
	peers map[netip.Addr]int
}

func limitConns(l net.Listener, limits Limits) net.Listener {
	limits.Conns = cmp.Or(limits.Conns, defaultConns)
	limits.ConnsPerPeer = cmp.Or(limits.ConnsPerPeer, defaultConnsPerPeer)
	return &limitedListener{Listener: l, limits: limits, peers: map[netip.Addr]int{}}
}

func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		peer := addrOf(conn.RemoteAddr()).Addr()
		if l.enter(peer) {
			return &limitedConn{Conn: conn, leave: sync.OnceFunc(func() { l.leave(peer) })}, nil
		}
		_ = conn.Close()
	}
}

func (l *limitedListener) enter(peer netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.total >= l.limits.Conns || l.peers[peer] >= l.limits.ConnsPerPeer {
		return false
	}
	l.total++
	l.peers[peer]++
	return true
}

func (l *limitedListener) leave(peer netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total--
	if l.peers[peer]--; l.peers[peer] == 0 {
		delete(l.peers, peer)
	}
}

type limitedConn struct {
	net.Conn
	leave func()
}

func (c *limitedConn) Close() error {
	c.leave()
	return c.Conn.Close()
}

// addrOf returns a TCP address in its plain form; the zero value for others.
func addrOf(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := tcp.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
