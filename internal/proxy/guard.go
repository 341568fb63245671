package proxy

import (
	"runtime/debug"
	"sync"
	"time"

	"github.com/go-logr/logr"

	"github.com/pillion-mesh/pillion/internal/proxy/telemetry"
)

// Panics this many times within panicWindow end the process: something is wrong with it, not with a connection.
const (
	panicLimit  = 3
	panicWindow = 10 * time.Second
)

// guard keeps a panic in one connection from ending the others.
type guard struct {
	log     logr.Logger
	panics  *telemetry.Counter
	now     func() time.Time
	tooMany func()

	mu     sync.Mutex
	recent []time.Time
}

// run calls f; if it panics the caller goes on as if f had returned.
func (g *guard) run(f func()) {
	defer func() {
		if value := recover(); value != nil {
			g.caught(value)
		}
	}()
	f()
}

// runConnection is run for a goroutine that has just begun and serves a connection.
func (g *guard) runConnection(f func()) {
	makeRoom(0)
	g.run(f)
}

// usualStack is what serving a connection takes.
const usualStack = 3 << 10

// makeRoom has the goroutine's stack grow now, while nothing is on it, and at once. Growing step by step, with all frames
// to be copied each time, was a twentieth of a short connection's cost.
//
//go:noinline
func makeRoom(i int) byte {
	var room [usualStack]byte
	return room[i]
}

func (g *guard) caught(value any) {
	g.panics.Add(1)
	g.log.Error(nil, "Connection closed after a panic", "panic", value, "stack", string(debug.Stack()))
	if g.count(g.now()) >= panicLimit {
		g.tooMany()
	}
}

func (g *guard) count(now time.Time) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	var kept []time.Time
	for _, at := range g.recent {
		if now.Sub(at) < panicWindow {
			kept = append(kept, at)
		}
	}
	kept = append(kept, now)
	g.recent = kept
	return len(g.recent)
}
