package http

import (
	"runtime/debug"
	"sync/atomic"
	"time"
)

const (
	// reclaimFrom is how many connections have to be parked before what they gave away is worth a garbage collection:
	// some 10 KiB each.
	reclaimFrom  = 1000
	reclaimPause = time.Minute
)

// reclaimer gives memory back to the system after many connections were parked: the runtime would keep most of it for
// minutes, in case they come back. It costs a garbage collection, so it waits until hardly any more are parked, and is
// done once a minute at most.
type reclaimer struct {
	parked atomic.Int64 // ever

	// Of who calls tick.
	seen, done int64
	next       time.Time
}

// tick is called each second. It reports whether memory is to be given back now.
func (r *reclaimer) tick(now time.Time) bool {
	n := r.parked.Load()
	quiet := n-r.seen < reclaimFrom/10
	r.seen = n
	if !quiet || n-r.done < reclaimFrom || now.Before(r.next) {
		return false
	}
	r.done, r.next = n, now.Add(reclaimPause)
	return true
}

// sweep is called each second, on the wheel's goroutine.
func (e *Engine) sweep() {
	e.h2.sweep()
	e.crew.Rest()
	e.remind()
	if e.lot.memory.tick(e.opts.Now()) {
		e.lot.work.Go(debug.FreeOSMemory)
	}
}
