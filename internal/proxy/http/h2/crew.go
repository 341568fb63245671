package h2

import "sync"

// Crew are the goroutines that carry out requests. One that is done waits for the next request of any connection: its
// stack has grown to what a request needs, which costs a new one several copies. Those that weren't needed since the
// last Rest leave with it. It is safe for concurrent use.
type Crew struct {
	guard func(func()) // runs a request, and keeps its panic from ending the process

	mu     sync.Mutex
	idle   []*worker // the one that works last waits last: its stack is still in the cache
	spare  int       // the fewest that were idle since the last Rest
	closed bool
}

// mostIdle bounds what waits: more requests than that rarely end and begin at once.
const mostIdle = 256

type worker struct{ next chan *ServerStream }

// NewCrew returns a crew without goroutines; its Close must be called. guard nil: panics aren't caught.
func NewCrew(guard func(func())) *Crew {
	if guard == nil {
		guard = func(f func()) { f() }
	}
	return &Crew{guard: guard}
}

// do has a request carried out, without a crew by a goroutine of its own.
func (c *Crew) do(x *ServerStream) {
	if c == nil {
		go x.server.handle(x)
		return
	}
	if w := c.take(); w != nil {
		w.next <- x // holds one, and nobody else sends
		return
	}
	go c.work(x)
}

func (c *Crew) take() *worker {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(c.idle) - 1
	if n < 0 {
		return nil
	}
	w := c.idle[n]
	c.idle[n], c.idle = nil, c.idle[:n]
	c.spare = min(c.spare, n)
	return w
}

func (c *Crew) work(x *ServerStream) {
	w := &worker{make(chan *ServerStream, 1)}
	run := func() { x.server.handle(x) }
	for x != nil {
		c.guard(run)
		x = nil // it must not be kept alive while this waits
		if c.wait(w) {
			x = <-w.next
		}
	}
}

// wait lets w be taken, unless enough are waiting.
func (c *Crew) wait(w *worker) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || len(c.idle) >= mostIdle {
		return false
	}
	c.idle = append(c.idle, w)
	return true
}

// Rest lets those go that weren't needed since it was called before.
func (c *Crew) Rest() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.release(c.spare)
	c.spare = len(c.idle)
}

// Close lets all go that wait, and the others when they are done. Requests are carried out afterwards, too.
func (c *Crew) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.release(len(c.idle))
	c.spare = 0
}

// release is called with mu held. Those that have waited longest go.
func (c *Crew) release(n int) {
	for _, w := range c.idle[:n] {
		close(w.next)
	}
	rest := copy(c.idle, c.idle[n:])
	clear(c.idle[rest:])
	c.idle = c.idle[:rest]
}
