// Package export carries what the proxy tells collectors of the traffic it saw: spans and access log entries. Encoded
// entries come in; reports of several go out, by a function their owner gives.
//
// Traffic never waits: an entry goes into its collector's bounded queue or is lost, and counted. Each collector has a queue
// and, while entries wait there, a goroutine of its own, so that one that stalls delays nobody else's.
package export

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/telemetry"
)

// Bounds of what waits for one collector: entries, and their bytes.
const (
	MostEntries = 2048
	MostBytes   = 2 << 20
)

// Plan is how entries reach a collector.
type Plan struct {
	// Send sends one report. What a collector doesn't take is lost.
	Send     func(ctx context.Context, entries [][]byte) error
	Timeout  time.Duration // of a report
	Interval time.Duration // how long entries wait to go together
	Entries  int           // so many go at once, without waiting for more
	Bytes    int           // or so many bytes; 0: any
	Waiting  int           // entries that may wait; 0 or more than MostEntries: that many
	Counters Counters
}

// Counters count entries and reports. None may be nil but Reports and Failed.
type Counters struct {
	Sent, Dropped   *telemetry.Counter // entries
	Reports, Failed *telemetry.Counter
}

// Group owns the queues of one kind. Close must be called.
type Group struct {
	ctx  context.Context // of reports
	stop context.CancelFunc

	mu      sync.Mutex
	closed  bool
	closing chan struct{}
	running sync.WaitGroup
}

// NewGroup returns a Group. It has no goroutine before the first entry.
func NewGroup() *Group {
	g := &Group{closing: make(chan struct{})}
	g.ctx, g.stop = context.WithCancel(context.Background())
	return g
}

// Close sends what is waiting, for as long as ctx lasts. Entries that come later are lost.
func (g *Group) Close(ctx context.Context) {
	g.mu.Lock()
	if !g.closed {
		g.closed = true
		close(g.closing)
	}
	g.mu.Unlock()
	defer g.stop()
	defer context.AfterFunc(ctx, g.stop)()
	g.running.Wait()
}

// begin reports whether a goroutine may start.
func (g *Group) begin() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed {
		g.running.Add(1)
	}
	return !g.closed
}

func (g *Group) over() bool {
	select {
	case <-g.closing:
		return true
	default:
		return false
	}
}

// Queue is where entries wait for one collector.
type Queue struct {
	group *Group
	plan  Plan
	wake  chan struct{} // enough is there; of one place

	mu      sync.Mutex
	list    [][]byte
	bytes   int
	running bool
}

// Queue returns a new queue. It may be forgotten at any time: what waits in it goes out all the same.
func (g *Group) Queue(p Plan) *Queue {
	if p.Waiting <= 0 || p.Waiting > MostEntries {
		p.Waiting = MostEntries
	}
	return &Queue{group: g, plan: p, wake: make(chan struct{}, 1)}
}

// Add takes an entry, which is the queue's from now on, or counts it as dropped. It never blocks.
func (q *Queue) Add(entry []byte) {
	if !q.add(entry) {
		q.plan.Counters.Dropped.Add(1)
	}
}

func (q *Queue) add(entry []byte) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.group.over() || len(q.list) >= q.plan.Waiting || q.bytes+len(entry) > MostBytes {
		return false
	}
	if !q.running {
		if !q.group.begin() {
			return false
		}
		q.running = true
		go q.run()
	}
	q.list = append(q.list, entry)
	q.bytes += len(entry)
	if q.enough() {
		select {
		case q.wake <- struct{}{}:
		default:
		}
	}
	return true
}

// enough is with the lock held.
func (q *Queue) enough() bool {
	return len(q.list) >= q.plan.Entries || q.plan.Bytes > 0 && q.bytes >= q.plan.Bytes
}

// run sends reports until no entry waits.
func (q *Queue) run() {
	defer q.group.running.Done()
	for {
		q.gather()
		entries := q.take()
		if len(entries) == 0 {
			return
		}
		q.report(entries)
	}
}

// gather waits for more entries to go together.
func (q *Queue) gather() {
	timer := time.NewTimer(q.plan.Interval)
	defer timer.Stop()
	for !q.ready() {
		select {
		case <-timer.C:
			return
		case <-q.group.closing:
			return
		case <-q.wake:
		}
	}
}

func (q *Queue) ready() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.enough()
}

// take returns the entries of the next report; none: the goroutine is over.
func (q *Queue) take() [][]byte {
	q.mu.Lock()
	defer q.mu.Unlock()
	n, bytes := 0, 0
	for n < min(len(q.list), q.plan.Entries) && (n == 0 || q.plan.Bytes == 0 || bytes < q.plan.Bytes) {
		bytes += len(q.list[n])
		n++
	}
	entries := slices.Clone(q.list[:n])
	q.list = slices.Delete(q.list, 0, n)
	q.bytes -= bytes
	if n == 0 {
		q.running, q.list = false, nil
	}
	return entries
}

func (q *Queue) report(entries [][]byte) {
	ctx, stop := context.WithTimeout(q.group.ctx, q.plan.Timeout)
	defer stop()
	c := &q.plan.Counters
	if err := q.plan.Send(ctx, entries); err != nil {
		count(c.Failed, 1)
		c.Dropped.Add(uint64(len(entries)))
		return
	}
	count(c.Reports, 1)
	c.Sent.Add(uint64(len(entries)))
}

func count(c *telemetry.Counter, n uint64) {
	if c != nil {
		c.Add(n)
	}
}
