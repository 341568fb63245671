package tcp

import (
	"context"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

const (
	closePoll = 5 * time.Millisecond
	// settled is how often in a row nothing must be on its way: what was just read isn't counted yet, and a writer who
	// waited for room needs a moment to go on.
	settled = 20
)

// Close lets bytes on their way arrive, for an application that writes and exits leaves its last ones to us. Then it
// ends all connections and waits for them to be gone from the list. It takes no longer than ctx, a third of it kept for
// ending.
func (p *Proxy) Close(ctx context.Context) {
	settling, done := context.WithCancel(ctx)
	if deadline, bounded := ctx.Deadline(); bounded {
		settling, done = context.WithTimeout(ctx, time.Until(deadline)*2/3)
	}
	defer done()
	p.settle(settling)
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.cancel()
	<-p.sweeper
	for _, s := range p.list() {
		s.shut("sidecar_shutdown", stream.LocalReset)
	}
	poll(ctx, func() bool { return p.Active() == 0 })
	p.pipes.Close()
}

// settle waits until nothing has been on its way for a while.
func (p *Proxy) settle(ctx context.Context) {
	quiet := 0
	poll(ctx, func() bool {
		quiet++
		for _, s := range p.list() {
			if !s.quiet() {
				quiet = 0
			}
		}
		return quiet == settled || p.Active() == 0
	})
}

// poll looks until it sees what it waits for, or ctx ends.
func poll(ctx context.Context, look func() bool) {
	tick := time.NewTicker(closePoll)
	defer tick.Stop()
	for !look() {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// quiet reports whether neither side has sent what the other hasn't been given.
func (s *session) quiet() bool {
	s.mu.Lock()
	p := s.pair
	s.mu.Unlock()
	return p != nil && p.request.quiet() && p.reply.quiet()
}

func (f *flow) quiet() bool {
	if f.src.raw == nil {
		return f.passed.Load() == f.moved.Load()
	}
	waiting := 0
	_ = f.src.raw.Control(func(fd uintptr) { waiting, _ = unix.IoctlGetInt(int(fd), unix.SIOCINQ) }) // fails if it is closed
	return waiting == 0 && f.passed.Load() == f.moved.Load()
}
