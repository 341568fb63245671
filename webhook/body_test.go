package webhook

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-logr/logr"

	"github.com/pillion-mesh/pillion/internal/inject"
)

// TestBodiesInFlightAreBounded: when other requests hold all the room, one waits until its deadline, then is told, and
// has given back what it held.
func TestBodiesInFlightAreBounded(t *testing.T) {
	h := &handler{Options: Options{Set: func() *inject.Set { return nil }, Log: logr.Discard()}, budget: newBudget(3), memory: newMemory()}
	if _, err := h.budget.take(context.Background(), 2); err != nil {
		t.Fatal(err)
	}
	send := func(size int) *httptest.ResponseRecorder {
		request := httptest.NewRequest(http.MethodPost, "/inject?timeout=20ms", strings.NewReader(strings.Repeat(" ", size)))
		request.Header.Set("Content-Type", "application/json")
		recorder := httptest.NewRecorder()
		h.ServeHTTP(recorder, request)
		return recorder
	}
	if got := send(block + 1); got.Code != http.StatusServiceUnavailable || !strings.Contains(got.Body.String(), "take all the memory") {
		t.Errorf("without room: %d %s", got.Code, got.Body)
	}
	if len(h.budget) != 2 {
		t.Errorf("%d blocks are held after the answer, want the other requests' 2", len(h.budget))
	}
	if got := send(block - 1); got.Code != http.StatusBadRequest {
		t.Errorf("with room: %d %s", got.Code, got.Body)
	}
	h.budget.release(2)
	if got := send(block + 1); got.Code != http.StatusBadRequest {
		t.Errorf("with room again: %d %s", got.Code, got.Body)
	}
}

// TestPromisedLengthTakesNoRoom: a request takes what it sends, and no more than a block at first, whatever its Content-Length says.
func TestPromisedLengthTakesNoRoom(t *testing.T) {
	pool := newMemory()
	b := newBody(newBudget(maxBlocks), pool)
	request := httptest.NewRequest(http.MethodPost, "/inject", io.NopCloser(strings.NewReader("{}")))
	request.ContentLength = maxBody
	if f := readBody(context.Background(), request, &b); f != nil || cap(b.text) > block || b.held != 1 {
		t.Errorf("%v, %d bytes, %d blocks", f, cap(b.text), b.held)
	}
	budget := b.budget
	b.release(pool)
	b = newBody(budget, pool)
	request.ContentLength, request.Body = -1, io.NopCloser(strings.NewReader(strings.Repeat(" ", maxBody+1)))
	if f := readBody(context.Background(), request, &b); f == nil || f.code != http.StatusRequestEntityTooLarge {
		t.Errorf("more than %d bytes: %v", maxBody, f)
	}
	b.release(pool)
	if len(b.budget) != 0 {
		t.Errorf("%d blocks are still held", len(b.budget))
	}
}
