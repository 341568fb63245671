package proxy

import (
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/admin"
)

// drainListeners is /drain_listeners: peers are asked to leave, and listeners with a socket of their own are closed, at
// once or, gracefully, once the drain time is over and unless they are to stay. Capture's sockets are never closed: they
// are other epochs' too, and whoever connects would wait for ever instead of being refused.
func (s *Server) drainListeners(d admin.Drain) {
	if d.InboundOnly {
		s.http.Drain(true)
	} else {
		s.Drain()
	}
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
