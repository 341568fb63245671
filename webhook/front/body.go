package front

import (
	"errors"
	"io"
	"time"
)

// body is a request's.
type body struct {
	conn  *conn
	left  int64
	start time.Time // of the request
}

// Read is io.Reader's.
func (b *body) Read(p []byte) (n int, err error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	c := b.conn
	p = p[:min(int64(len(p)), b.left)]
	if len(c.read) > 0 {
		n = copy(p, c.read)
		c.read = c.read[n:]
	} else {
		c.readUntil(b.start.Add(c.server.HTTP.ReadTimeout))
		n, err = c.tls.Read(p)
	}
	if b.left -= int64(n); b.left == 0 {
		return n, io.EOF
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// Close is io.Closer's.
func (b *body) Close() error { return nil }

// finish reads what the handler left, unless that is much. It says whether all is read.
func (b *body) finish() bool {
	if b.left > 0 && b.left <= maxRest {
		_, _ = io.Copy(io.Discard, b)
	}
	return b.left == 0
}
