package webhook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"unsafe"

	"github.com/pillion-mesh/pillion/internal/inject"
	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
)

// Bounds of what requests hold in memory. Reading a body takes some ten times its size in all, so what is in flight at
// once fits the operator's memory whoever calls and however often.
const (
	maxBody   = 8 << 20  // of one request: an API server's own limit on an object is 3 MiB, and a review holds up to two
	block     = 64 << 10 // what is asked of the budget at once; nearly every review fits
	maxBlocks = 32 << 20 / block
)

// budget is the memory for the bodies of all requests, in blocks.
type budget chan struct{}

func newBudget(blocks int) budget { return make(budget, blocks) }

// take waits for n blocks until ctx ends; held says how many it got all the same.
func (b budget) take(ctx context.Context, n int) (held int, err error) {
	for ; held < n; held++ {
		select {
		case b <- struct{}{}: // whatever ctx says: only waiting has to end
			continue
		default:
		}
		select {
		case b <- struct{}{}:
		case <-ctx.Done():
			return held, ctx.Err()
		}
	}
	return held, nil
}

func (b budget) release(n int) {
	for range n {
		<-b
	}
}

var errNoRoom = errors.New("the bodies of other requests take all the memory there is for them")

// body is one request's, and the blocks of the budget it holds until it is released.
type body struct {
	budget budget
	held   int
	text   []byte
	memory *memory
}

// memory is what requests use one after the other. All that is read of a request are views of it, which end with the
// request: what is to outlive it has to be copied.
type memory struct {
	first [8 << 10]byte // a typical review
	more  []byte        // where first was too small; a block at most
	room  rawjson.Room
}

func newMemory() *sync.Pool { return &sync.Pool{New: func() any { return new(memory) }} }

func newBody(b budget, pool *sync.Pool) body {
	return body{budget: b, memory: pool.Get().(*memory)} //nolint:errcheck // the pool has nothing else
}

// release wipes what was read, so that a view kept by mistake can't pass for another request's text.
func (b *body) release(pool *sync.Pool) {
	clear(b.text)
	b.memory.room.Clear()
	pool.Put(b.memory)
	b.budget.release(b.held)
	*b = body{budget: b.budget}
}

// view is the text without a copy.
func (b *body) view() string { return unsafe.String(unsafe.SliceData(b.text), len(b.text)) }

// read takes room as bytes come. Content-Length is believed up to one block: who only promises holds up nobody.
func (b *body) read(ctx context.Context, from io.Reader, promised int64) error {
	b.text = b.memory.first[:0]
	for {
		n, err := from.Read(b.text[len(b.text):cap(b.text)])
		b.text = b.text[:len(b.text)+n]
		if n > 0 && b.held == 0 {
			if err := b.take(ctx, 1); err != nil {
				return err
			}
		}
		switch {
		case len(b.text) > maxBody:
			return errTooLarge
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case len(b.text) < cap(b.text):
			continue
		}
		if err := b.grow(ctx, promised); err != nil {
			return err
		}
	}
}

var errTooLarge = fmt.Errorf("the body is larger than %d bytes", maxBody)

// grow moves the text to where there is more room: to what a block has, then to twice as much each time.
func (b *body) grow(ctx context.Context, promised int64) error {
	size := min(max(2*cap(b.text), int(min(promised+1, block))), maxBody+1) // and one, for the end to be seen
	if err := b.take(ctx, (size+block-1)/block); err != nil {
		return err
	}
	old, to := b.text, b.memory.more
	if cap(to) < size {
		to = make([]byte, 0, size)
	}
	if cap(to) <= block {
		b.memory.more = to
	}
	b.text = to[:copy(to[:size], old)]
	clear(old)
	return nil
}

// take makes what is held so many blocks.
func (b *body) take(ctx context.Context, blocks int) error {
	n, err := b.budget.take(ctx, blocks-b.held)
	b.held += n
	if err != nil {
		return errNoRoom
	}
	return nil
}

// readBody reads a request's body. Its blocks are b's to release, whatever comes out.
func readBody(ctx context.Context, r *http.Request, b *body) *failure {
	err := errTooLarge
	if r.ContentLength <= maxBody {
		err = b.read(ctx, r.Body, r.ContentLength)
	}
	switch {
	case errors.Is(err, errTooLarge):
		return &failure{http.StatusRequestEntityTooLarge, inject.ReasonBodyInvalid, err.Error()}
	case errors.Is(err, errNoRoom):
		return &failure{http.StatusServiceUnavailable, inject.ReasonDeadline, err.Error()}
	case err != nil:
		return &failure{http.StatusBadRequest, inject.ReasonBodyInvalid, "reading the body: " + err.Error()}
	case len(b.text) == 0:
		return &failure{http.StatusBadRequest, inject.ReasonBodyInvalid, "the body is empty; want an AdmissionReview"}
	}
	return nil
}
