package proxy

import (
	"sync"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/admin"
	"github.com/pillion-mesh/pillion/internal/proxy/socket"
)

// Drain asks HTTP peers to leave, a few at first, all before deadline has passed if it isn't 0; TCP's can't be asked, so
// their connections just go on. With inboundOnly the pod is going away: connections are still accepted, and those of
// outbound listeners stay. Without it another proxy has taken over the sockets: this one closes its own duplicates of
// them, finishes what it has, and Left tells when it has nothing any more, or when deadline has passed.
func (s *Server) Drain(deadline time.Duration, inboundOnly bool) {
	s.draining.Store(true)
	over := s.opts.DrainTime
	if deadline > 0 {
		over = min(over, deadline)
	}
	s.http.Drain(inboundOnly, over)
	if !inboundOnly {
		s.leaveOnce.Do(func() {
			s.bound.leave()
			s.sockets.close()
			s.stopOperating()
			s.loops.Go(func() { s.leave(deadline) })
		})
	}
}

// leavePoll is how often a proxy that is leaving looks whether it may go.
const leavePoll = 20 * time.Millisecond

// leave waits until no connection is left, or deadline, if it isn't 0.
func (s *Server) leave(deadline time.Duration) {
	var over <-chan time.Time
	if deadline > 0 {
		timer := time.NewTimer(deadline)
		defer timer.Stop()
		over = timer.C
	}
	ticker := time.NewTicker(leavePoll)
	defer ticker.Stop()
	for !s.sockets.none() || s.Active() > 0 {
		select {
		case <-s.ctx.Done():
			return
		case <-over:
			close(s.left)
			return
		case <-ticker.C:
		}
	}
	close(s.left)
}

// Left is closed when the process may end, because another one has taken over.
func (s *Server) Left() <-chan struct{} { return s.left }

// drainListeners is /drain_listeners: peers are asked to leave, and listeners with a socket of their own are closed, both
// at once or, gracefully, over the drain time, with the sockets at its end unless they are to stay. Capture's sockets are
// never closed: they are other epochs' too, and whoever connects would wait for ever instead of being refused.
func (s *Server) drainListeners(d admin.Drain) {
	over := time.Duration(0)
	if d.Graceful {
		over = s.opts.DrainTime
	}
	if !d.InboundOnly {
		s.draining.Store(true)
	}
	s.http.Drain(d.InboundOnly, over)
	switch {
	case !d.Graceful:
		s.bound.stop(d.InboundOnly)
	case !d.SkipExit:
		s.loops.Go(func() { s.stopLater(d.InboundOnly) })
	}
}

func (s *Server) stopLater(inboundOnly bool) {
	timer := time.NewTimer(s.opts.DrainTime)
	defer timer.Stop()
	select {
	case <-timer.C:
		s.bound.stop(inboundOnly)
	case <-s.ctx.Done():
	}
}

// sockets are those that connections are being accepted from.
type sockets struct {
	mu   sync.Mutex
	open map[*socket.Listener]bool
	over bool // nothing is accepted any more
}

// enter notes a socket. It reports false when nothing may be accepted any more.
func (s *sockets) enter(on *socket.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return false
	}
	if s.open == nil {
		s.open = map[*socket.Listener]bool{}
	}
	s.open[on] = true
	return true
}

// leave is called when all that was accepted from the socket is counted.
func (s *sockets) leave(on *socket.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, on)
}

// close ends accepting. Others that hold the same sockets go on.
func (s *sockets) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	for on := range s.open {
		_ = on.Close()
	}
}

func (s *sockets) none() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open) == 0
}
