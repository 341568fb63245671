package h1

import (
	"errors"
	"io"

	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// input is the reading half of a connection: heads, then bodies. The head's buffer is kept until the message is
// finished, because the exchange looks into it.
type input struct {
	*socket
	lim  Limits
	size int // of the first read of a message
	head head

	headBuf *buffer
	bodyBuf *buffer // what follows the head's buffer; only while something of it is unread
	rest    []byte  // read and not used, in the last of the two

	kind     bodyKind
	left     int64
	chunks   chunks
	ended    bool // the body is whole
	trailers *stream.Fields
}

// await waits for the first bytes of the next message, holding nothing.
func (in *input) await() error {
	if len(in.rest) > 0 {
		return nil
	}
	giveBack(in.headBuf) // of a 1xx
	in.headBuf = nil
	b, n, err := in.readParked(in.size)
	if err != nil {
		return err
	}
	in.headBuf, in.rest = b, b.b[:n]
	return nil
}

// more reads on behind an incomplete head.
func (in *input) more() error {
	used := copy(in.headBuf.b, in.rest)
	in.rest = in.headBuf.b[:used]
	if used == len(in.headBuf.b) {
		bigger := borrow(largeSize)
		copy(bigger.b, in.rest)
		giveBack(in.headBuf)
		in.headBuf = bigger
	}
	n, err := in.readMore(in.headBuf.b[used:])
	in.rest = in.headBuf.b[:used+n]
	return err
}

// begin starts a body. Its bytes may be in rest already.
func (in *input) begin(kind bodyKind, length int64, trailers *stream.Fields) {
	in.kind, in.left, in.trailers = kind, length, trailers
	in.ended = kind == noBody
	if kind == byChunks {
		in.chunks.reset()
	}
}

// ready reports whether body would return at once.
func (in *input) ready() bool { return in.ended || len(in.rest) > 0 }

// body returns the next piece of the body.
func (in *input) body() (piece []byte, end bool, err error) {
	for {
		if in.ended {
			return nil, true, nil
		}
		if len(in.rest) == 0 {
			if err := in.refill(); err != nil {
				return nil, false, in.cut(err)
			}
			if in.ended {
				return nil, true, nil
			}
		}
		piece, err = in.take()
		if len(piece) > 0 || in.ended || err != nil {
			return piece, in.ended, err
		}
	}
}

// take uses up some of rest.
func (in *input) take() (piece []byte, err error) {
	switch in.kind {
	case byLength:
		n := int(min(in.left, int64(len(in.rest))))
		piece, in.rest = in.rest[:n], in.rest[n:]
		in.left -= int64(n)
		in.ended = in.left == 0
		return piece, nil
	case byChunks:
		return in.takeChunk()
	default:
		piece, in.rest = in.rest, nil
		return piece, nil
	}
}

func (in *input) takeChunk() (piece []byte, err error) {
	piece, used, err := in.chunks.next(in.rest)
	in.rest = in.rest[used:]
	if err == nil && len(piece) > 0 && len(in.rest) > 0 && in.chunks.state != chunkData {
		// The frame behind the data may be the last one: then this piece is the last one too, and goes out with the end.
		err = in.lookAhead()
	}
	if err == nil && in.chunks.state == chunkDone {
		in.ended = true
		err = in.chunks.fields(in.lim, in.trailers)
	}
	if err != nil {
		return nil, failure(err)
	}
	return piece, nil
}

// lookAhead steps over a chunk's end and the next one's size if both are here.
func (in *input) lookAhead() error {
	for len(in.rest) > 0 && in.chunks.state != chunkData && in.chunks.state != chunkDone {
		probe := in.rest[:1]
		if in.chunks.state == chunkTrailers {
			probe = in.rest
		}
		_, used, err := in.chunks.next(probe)
		if err != nil {
			return err
		}
		in.rest = in.rest[used:]
	}
	return nil
}

// refill reads more of the body. Of a body with a length it reads no byte of what follows.
func (in *input) refill() error {
	giveBack(in.bodyBuf)
	in.bodyBuf = nil
	size := smallSize
	switch {
	case in.kind == byLength:
		size = int(min(in.left, largeSize))
	case in.kind == byClose:
		size = largeSize
	}
	b, n, err := in.readParked(size)
	if err != nil {
		return err
	}
	in.bodyBuf, in.rest = b, b.b[:n]
	return nil
}

// cut tells what the end of the connection means here: the end of the body, or of hope.
func (in *input) cut(err error) error {
	if errors.Is(err, io.EOF) && in.kind == byClose {
		in.ended = true
		return nil
	}
	return failure(err)
}

// finish forgets the message. What came behind it stays.
func (in *input) finish() {
	keep := in.headBuf
	if in.bodyBuf != nil {
		keep = in.bodyBuf
		giveBack(in.headBuf)
	}
	in.headBuf, in.bodyBuf = nil, nil
	if len(in.rest) == 0 {
		giveBack(keep)
		in.rest = nil
		return
	}
	n := copy(keep.b, in.rest)
	in.headBuf, in.rest = keep, keep.b[:n]
}
