package h1

import (
	"net/http"
	"strconv"

	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// copyBelow is the size up to which a piece is copied behind the head and leaves with it in one write; above it, it
// leaves with the head in one writev.
const copyBelow = 4 << 10

// room is what has to be free in the buffer before something is put into it: a chunk's frame.
const room = 64

// output is the writing half of a connection: what a message consists of gathers in a buffer, which is borrowed with
// the head and given back with the end.
type output struct {
	*socket
	buf    *buffer
	b      []byte // waits in buf
	chunk  bool   // the body is framed as chunks
	length int64  // the rest of the body that was promised; -1: no promise
	whole  bool   // the message is complete
	failed error
}

func (o *output) start() []byte {
	if o.buf == nil {
		o.buf = borrow(smallSize)
		o.b = o.buf.b[:0]
	}
	return o.b
}

// release gives the buffer back. What waits in it is lost.
func (o *output) release() {
	giveBack(o.buf)
	o.buf, o.b = nil, nil
}

func (o *output) flush() error {
	if len(o.b) == 0 {
		return o.failed
	}
	return o.send(nil, nil)
}

// send writes what waits, then piece and tail.
func (o *output) send(piece, tail []byte) error {
	if o.failed != nil {
		return o.failed
	}
	var err error
	switch {
	case piece != nil:
		err = o.write(o.b, piece, tail)
	case len(o.b) > 0:
		err = o.write(o.b)
	}
	o.b = o.b[:0]
	if err != nil {
		o.failed = failure(err)
		return o.failed
	}
	return nil
}

const (
	lineEnd   = "\r\n"
	lastChunk = "0\r\n\r\n"
)

// body takes a piece of the body.
func (o *output) body(piece []byte, end bool) error {
	if o.failed != nil {
		return o.failed
	}
	if o.length >= 0 {
		if int64(len(piece)) > o.length || end && int64(len(piece)) < o.length {
			return o.broken()
		}
		o.length -= int64(len(piece))
	}
	if len(o.b)+room > cap(o.b) {
		if err := o.flush(); err != nil {
			return err
		}
	}
	tail := o.frame(piece, end)
	o.whole = end
	if o.start(); len(piece) <= copyBelow && len(o.b)+len(piece)+len(tail) <= cap(o.b) {
		o.b = append(append(o.b, piece...), tail...)
		if end {
			return o.flush()
		}
		return nil
	}
	return o.send(piece, bytesOf(tail))
}

// frame puts a chunk's size before piece, and returns what follows it.
func (o *output) frame(piece []byte, end bool) (tail string) {
	switch {
	case !o.chunk:
		return ""
	case len(piece) == 0 && end:
		return lastChunk
	case len(piece) == 0:
		return ""
	}
	o.b = append(strconv.AppendUint(o.start(), uint64(len(piece)), 16), lineEnd...)
	if end {
		return lineEnd + lastChunk
	}
	return lineEnd
}

// broken is a body that isn't as long as was said: nobody may take it for whole.
func (o *output) broken() error {
	o.failed = refusal(http.StatusBadRequest, "content_length_mismatch")
	return o.failed
}

func (o *output) trailerFields(t *stream.Fields) error {
	if o.failed != nil {
		return o.failed
	}
	if !o.chunk || t.Len() == 0 {
		return o.body(nil, true)
	}
	b := append(o.start(), "0\r\n"...)
	for i := range t.Len() {
		if field := t.At(i); trailerAllowed(field.Name) {
			b = appendField(b, field.Name, field.Value)
		}
	}
	o.grown(append(b, lineEnd...))
	o.whole = true
	return o.flush()
}

// grown takes a slice that appending may have moved out of the buffer.
func (o *output) grown(b []byte) { o.b = b }

func appendField(b []byte, name, value string) []byte {
	if plainLen(bytesOf(value)) != len(value) {
		return b // whoever made this value could have made a field or a whole message of it
	}
	b = append(b, name...)
	b = append(b, ": "...)
	b = append(b, value...)
	return append(b, lineEnd...)
}
