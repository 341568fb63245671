package tracing

import "sync"

// Bounds of what waits: spans, and their bytes.
const (
	mostSpans = 2048
	mostBytes = 2 << 20
	// enough spans go at once, without waiting for more.
	enough = 256
)

// queue is where spans wait that are over. Adding never blocks.
type queue struct {
	wake chan struct{} // something is there; of one place

	mu     sync.Mutex
	list   []entry
	bytes  int
	closed bool
}

// entry is a span as it is sent.
type entry struct {
	to   *target
	span []byte
}

// add reports false if there is no room: the span is lost. most is how many the provider lets wait.
func (q *queue) add(e entry) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || len(q.list) >= min(e.to.most, mostSpans) || q.bytes+len(e.span) > mostBytes {
		return false
	}
	q.list = append(q.list, e)
	q.bytes += len(e.span)
	if n := len(q.list); n == 1 || n == enough {
		q.signal()
	}
	return true
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take returns all that wait. spare is memory for the next ones.
func (q *queue) take(spare []entry) []entry {
	q.mu.Lock()
	defer q.mu.Unlock()
	list := q.list
	q.list, q.bytes = spare[:0], 0
	return list
}

func (q *queue) full() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.list) >= enough
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.signal()
}

func (q *queue) over() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.closed
}
