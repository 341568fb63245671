package upstream

import (
	"context"
	"net"
	"net/netip"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// attemptDelay is how long an address has before the next one is tried beside it (RFC 8305, section 5).
const attemptDelay = 250 * time.Millisecond

// dialEndpoint connects to a host: its Unix socket, its address, or the first of several that answers.
func (d *dialer) dialEndpoint(ctx context.Context, c *config.Cluster, h *Host, e *config.Endpoint, o origin) (net.Conn, error) {
	if h.Pipe != "" {
		system := net.Dialer{Timeout: connectTimeout(c)}
		return system.DialContext(ctx, "unix", h.Pipe)
	}
	if len(e.Additional) == 0 {
		conn, err := d.dialAddress(ctx, c, h.Address, o)
		if err != nil {
			return nil, err // not a nil *socket.Conn in an interface
		}
		return conn, nil
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout(c))
	defer cancel()
	return race(ctx, alternate(h.Address, e.Additional), d.delay, func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
		conn, err := d.dialAddress(ctx, c, to, o)
		if err != nil {
			return nil, err
		}
		return conn, nil
	})
}

// alternate orders addresses so that families take turns, the first address's family first.
func alternate(first netip.AddrPort, others []netip.AddrPort) []netip.AddrPort {
	all := append([]netip.AddrPort{first}, others...)
	ordered := all[:0:0]
	var queues [2][]netip.AddrPort
	for _, a := range all {
		family := 0
		if a.Addr().Is4() != first.Addr().Is4() {
			family = 1
		}
		queues[family] = append(queues[family], a)
	}
	for len(queues[0])+len(queues[1]) > 0 {
		for i := range queues {
			if len(queues[i]) > 0 {
				ordered, queues[i] = append(ordered, queues[i][0]), queues[i][1:]
			}
		}
	}
	return ordered
}

// race tries addresses one after the other, the next one as soon as one failed or has had its delay. The first
// connection wins, the others are closed. If none succeeds the first address's error is returned.
func race(ctx context.Context, addresses []netip.AddrPort, delay time.Duration, dial func(context.Context, netip.AddrPort) (net.Conn, error)) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := racer{addresses: addresses, delay: delay, dial: dial, timer: time.NewTimer(delay), results: make(chan result)}
	defer r.timer.Stop()
	r.next(ctx)
	for r.failed < len(addresses) {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-r.timer.C:
			r.next(ctx)
		case got := <-r.results:
			if got.err == nil {
				return got.conn, nil
			}
			r.lost(ctx, got)
		}
	}
	return nil, r.first
}

// racer is the state of a race.
type racer struct {
	addresses       []netip.AddrPort
	delay           time.Duration
	dial            func(context.Context, netip.AddrPort) (net.Conn, error)
	timer           *time.Timer // until the next address is tried
	results         chan result
	started, failed int
	first           error
}

type result struct {
	at   int
	conn net.Conn
	err  error
}

func (r *racer) next(ctx context.Context) {
	if r.started == len(r.addresses) {
		return
	}
	go r.attempt(ctx, r.started)
	r.started++
	r.timer.Reset(r.delay)
}

// attempt ends with ctx: when another one has won, or nobody waits any more.
func (r *racer) attempt(ctx context.Context, at int) {
	conn, err := r.dial(ctx, r.addresses[at])
	select {
	case r.results <- result{at, conn, err}:
	case <-ctx.Done():
		if conn != nil {
			_ = conn.Close()
		}
	}
}

func (r *racer) lost(ctx context.Context, got result) {
	r.failed++
	if r.first == nil || got.at == 0 {
		r.first = got.err
	}
	r.next(ctx)
}
