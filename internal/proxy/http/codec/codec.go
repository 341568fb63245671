// Package codec is the border between the HTTP core and the versions of HTTP: what the core asks of the client's side of
// a request (Downstream) and of the server's (Upstream). Packages h1 and h2 implement both, package http uses them.
// All calls block. One goroutine at a time reads from a side and one writes to it, they may be two; Interrupt comes from
// any.
package codec

import "github.com/pillion-mesh/pillion/internal/proxy/stream"

// Reader is a body that comes in.
type Reader interface {
	// ReadBody returns the next piece, a view that holds until the next call; it is credited to the sender then, so
	// that not reading on is back-pressure. With end it is the last one, and may be empty; trailers are in the exchange
	// then (RequestTrailers of a Downstream, ResponseTrailers of an Upstream). Errors are a *Failure.
	ReadBody() (piece []byte, end bool, err error)
	// Ready reports whether ReadBody would return at once. Writers are flushed before it blocks.
	Ready() bool
}

// Writer is a body that goes out. What was written may wait in a buffer until Flush; end flushes. Pieces are the
// caller's again when a call returns. Errors are a *Failure.
type Writer interface {
	WriteBody(piece []byte, end bool) error
	// WriteTrailers ends the body. A message whose framing has no place for trailers just ends.
	WriteTrailers(trailers *stream.Fields) error
	Flush() error
}

// Downstream is the client's side of one request, whose head is in the exchange already: an HTTP/1.1 connection until
// the answer is complete, or an HTTP/2 stream.
type Downstream interface {
	Reader
	Writer
	// WriteHead writes the head of the answer. Statuses below 200 may come before it; they are flushed, and end is
	// false. After 101 (or 200 to CONNECT) both bodies are bytes of the new protocol, without framing.
	// r.Length tells the framing: -1 is unknown. The codec adds what frames the message and nothing else.
	WriteHead(r *stream.Response, end bool) error
	// Reset gives the rest of the answer up: the connection or the stream is cut so that the client can't take what it
	// got for whole.
	Reset(why Reason)
	// Interrupt makes reads and writes that wait now or come later fail with Interrupted.
	Interrupt()
}

// Upstream is the server's side of one attempt of a request.
type Upstream interface {
	Reader
	Writer
	// WriteHead writes the head of the request; r.Length -1 with a body: unknown. An upgrade or CONNECT has no body, so
	// end is true; what is written after 101 (or 200 to CONNECT) are bytes of the new protocol all the same.
	WriteHead(r *stream.Request, end bool) error
	// ReadHead waits for a head, which may be a 1xx: then call it again. With end there is no body.
	ReadHead(r *stream.Response) (end bool, err error)
	// Written reports whether any byte may have reached the server: if not, the request can go out again.
	Written() bool
	// Answered reports whether any byte of the answer came.
	Answered() bool
	// Close ends the attempt. If both messages are whole the connection is used again, else the stream is reset or the
	// connection closed.
	Close()
	// Interrupt makes reads and writes that wait now or come later fail with Interrupted.
	Interrupt()
}
