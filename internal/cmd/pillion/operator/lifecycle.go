package operator

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/go-logr/logr"

	"github.com/pillion-mesh/pillion/internal/controller/events"
)

// requestPatience is how long a request may still take after the drain.
const requestPatience = 10 * time.Second

// opsPatience is how long a scrape may take at the very end.
const opsPatience = time.Second

// managerEnd is how long the manager may take: its runnables, then the release of the Lease, whose two calls have
// renewDeadline together.
const managerEnd = managerGrace + renewDeadline

// endsWithin is the longest time from SIGTERM to the end of the process that does the work. The parent waits a second
// more; terminationGracePeriodSeconds of config/manager has to be longer than both, which a test sees to.
func (o Options) endsWithin() time.Duration {
	return max(managerEnd, o.Drain+o.Linger) + requestPatience + events.LastWords + opsPatience
}

// serveWithin is how long connections may wait in the socket for a replica that isn't ready yet. A child that follows
// one that died is ready in about a second; what never becomes ready must at least say so.
const serveWithin = 10 * time.Second

// live runs everything and ends it in this order: readiness goes; the manager stops and the Lease is free, so the next
// leader starts at once; meanwhile and after it the webhook goes on answering, for o.Drain since readiness went, because
// API servers and kube-proxies learn only by and by, and for as long as API servers keep idle connections, at most
// o.Linger more; it closes; the last Events are written, for events.LastWords at most.
func live(ctx context.Context, o Options, p *parts, listener net.Listener, h *health, log logr.Logger) error {
	recording, stopRecording := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	wait.Go(func() { p.recorder.Run(recording) })
	defer wait.Wait()
	defer stopRecording()

	managing, stopManager := context.WithCancel(ctx)
	defer stopManager()
	managed := make(chan error, 1)
	go func() { managed <- p.manager.Start(managing) }()

	h.await(ctx, serveWithin)
	server := serveWebhook(listener, p.handler, p.certificate, o.KeepAlive)
	h.started.Store(true)
	log.Info("webhook server listening", "address", listener.Addr().String())
	var fault error
	var ending time.Time
	select {
	case <-ctx.Done():
		wait.Go(func() { p.farewell(o, h) })
		ending = h.end(p.handler)
		log.Info("ending: answering on while the news spreads", "drain", o.Drain)
		fault = <-managed
	case fault = <-managed: // the Lease was lost, or a cache didn't start; the webhook is as good as before
		ending = h.end(p.handler)
		log.Error(fault, "the manager ended; this process will too", "drain", o.Drain)
	case err := <-server.done:
		server.done <- nil
		stopManager()
		return errors.Join(fmt.Errorf("webhook server: %w", err), <-managed)
	}
	log.Info("manager stopped, Lease released")
	drain(o, ending, p.handler, server)
	server.shutdown(requestPatience)
	log.Info("ended")
	if fault != nil {
		return fmt.Errorf("manager: %w", fault)
	}
	return nil
}

// farewell says good-bye for a replica that could answer until now, for as long as it still does.
func (p *parts) farewell(o Options, h *health) {
	ctx, cancel := context.WithTimeout(context.Background(), o.Drain)
	defer cancel()
	if h.able(ctx) == nil {
		p.degrader.Farewell(ctx)
	}
}

// end takes readiness away and has answers close their connections. It returns when that was.
func (h *health) end(handler *drainable) time.Time {
	h.ending.Store(true)
	handler.draining.Store(true)
	return time.Now()
}

// drain returns when the webhook can close without losing a request, or has waited long enough since ending.
func drain(o Options, ending time.Time, handler *drainable, server *httpServer) {
	least, most := time.NewTimer(time.Until(ending.Add(o.Drain))), time.NewTimer(time.Until(ending.Add(o.Drain+o.Linger)))
	defer least.Stop()
	defer most.Stop()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	enough := false
	for !enough || handler.open.Load() > 0 {
		select {
		case <-least.C:
			enough = true
		case <-most.C:
			return
		case <-ticker.C:
		case err := <-server.done:
			server.done <- err
			return
		}
	}
}
