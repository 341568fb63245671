package webhook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/pillion-mesh/pillion/internal/inject"
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
	budget  budget
	scratch *sync.Pool // of *[scratch]byte
	held    int
	text    strings.Builder // what the parser takes without a copy
}

// scratch is how much is read at once: a typical review.
const scratch = 8 << 10

func newScratch() *sync.Pool { return &sync.Pool{New: func() any { return new([scratch]byte) }} }

func (b *body) release() {
	b.budget.release(b.held)
	b.held = 0
}

// read takes room as bytes come. Content-Length is believed up to one block: who only promises holds up nobody.
func (b *body) read(ctx context.Context, from io.Reader, promised int64) error {
	buffer := b.scratch.Get().(*[scratch]byte) //nolint:errcheck // the pool has nothing else
	defer b.scratch.Put(buffer)
	for size := int(min(max(promised, 0), block)); ; {
		n, err := from.Read(buffer[:])
		if free := b.text.Cap() - b.text.Len(); free < n {
			if err := b.grow(ctx, max(n, size)); err != nil {
				return err
			}
			size = 0
		}
		b.text.Write(buffer[:n])
		switch {
		case b.text.Len() > maxBody:
			return errTooLarge
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

var errTooLarge = fmt.Errorf("the body is larger than %d bytes", maxBody)

// grow makes room for so many bytes more, and for as many as there are.
func (b *body) grow(ctx context.Context, more int) error {
	size := 2*b.text.Cap() + more // as Grow has it
	n, err := b.budget.take(ctx, (size+block-1)/block-b.held)
	b.held += n
	if err != nil {
		return errNoRoom
	}
	b.text.Grow(more)
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
	case b.text.Len() == 0:
		return &failure{http.StatusBadRequest, inject.ReasonBodyInvalid, "the body is empty; want an AdmissionReview"}
	}
	return nil
}
