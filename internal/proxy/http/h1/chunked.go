package h1

import (
	"bytes"
	"strings"

	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

const (
	maxExtensions = 4 << 10 // of a message; they are dropped
	maxSizeDigits = 16
	maxTrailers   = 8 << 10
)

type chunkState uint8

const (
	chunkSize chunkState = iota
	chunkExtension
	chunkSizeLF
	chunkData
	chunkDataCR
	chunkDataLF
	chunkTrailers
	chunkDone
)

// chunks reads the chunked transfer coding (RFC 9112 7.1) out of pieces of any size.
type chunks struct {
	state      chunkState
	digits     int
	left       uint64 // of this chunk's data
	extensions int
	trailers   []byte // as they came so far
}

func (c *chunks) reset() { *c = chunks{trailers: c.trailers[:0]} }

// next returns the first data in p, as a view, and how much of p is used up with it. Without data all of p is used,
// unless the body is done.
func (c *chunks) next(p []byte) (data []byte, used int, err error) {
	for used < len(p) && c.state != chunkDone {
		if c.state == chunkData {
			n := int(min(c.left, uint64(len(p)-used))) //nolint:gosec // not longer than p
			data = p[used : used+n]
			if c.left -= uint64(n); c.left == 0 { //nolint:gosec // n is not negative
				c.state = chunkDataCR
			}
			return data, used + n, nil
		}
		if c.state == chunkTrailers {
			n, err := c.trailer(p[used:])
			used += n
			if err != nil {
				return nil, used, err
			}
			continue
		}
		if err := c.step(p[used]); err != nil {
			return nil, used, err
		}
		used++
	}
	return nil, used, nil
}

// step takes one byte of a chunk's frame.
func (c *chunks) step(b byte) error {
	switch c.state {
	case chunkSize:
		return c.size(b)
	case chunkExtension:
		return c.extension(b)
	case chunkSizeLF:
		if b != '\n' {
			return errChunk
		}
		c.digits = 0
		if c.state = chunkData; c.left == 0 {
			c.state = chunkTrailers
		}
	case chunkDataCR:
		if b != '\r' {
			return errChunk
		}
		c.state = chunkDataLF
	default:
		if b != '\n' {
			return errChunk
		}
		c.state = chunkSize
	}
	return nil
}

func (c *chunks) size(b byte) error {
	if digit, ok := hexDigit(b); ok {
		if c.digits++; c.digits > maxSizeDigits {
			return errChunk
		}
		c.left = c.left<<4 | uint64(digit)
		return nil
	}
	switch {
	case c.digits == 0 || c.left > 1<<63-1:
		return errChunk
	case b == '\r':
		c.state = chunkSizeLF
	case b == ';':
		c.state = chunkExtension
	default:
		return errChunk
	}
	return nil
}

func (c *chunks) extension(b byte) error {
	if c.extensions++; c.extensions > maxExtensions {
		return errChunk
	}
	if b == '\r' {
		c.state = chunkSizeLF
		return nil
	}
	if !plain[b] {
		return errChunk
	}
	return nil
}

func hexDigit(b byte) (byte, bool) {
	switch {
	case b >= '0' && b <= '9':
		return b - '0', true
	case b|0x20 >= 'a' && b|0x20 <= 'f':
		return b | 0x20 - 'a' + 10, true
	default:
		return 0, false
	}
}

var emptyLine = []byte("\r\n\r\n")

// trailer gathers the trailer section up to its empty line. It returns how much of p belongs to it.
func (c *chunks) trailer(p []byte) (used int, err error) {
	before := len(c.trailers)
	c.trailers = append(c.trailers, p[:min(len(p), maxTrailers+1-before)]...)
	end := 2
	switch i := bytes.Index(c.trailers, emptyLine); {
	case bytes.HasPrefix(c.trailers, emptyLine[:2]):
	case i >= 0:
		end = i + len(emptyLine)
	case len(c.trailers) > maxTrailers:
		return 0, errTrailers
	default:
		return len(c.trailers) - before, nil
	}
	c.trailers = c.trailers[:end]
	c.state = chunkDone
	return end - before, nil
}

// fields gives the trailers to f. Fields that frame, route or authenticate are dropped: whoever decides by them has
// decided already (RFC 9110 6.5.1).
func (c *chunks) fields(lim Limits, f *stream.Fields) error {
	if len(c.trailers) <= 2 {
		return nil
	}
	var h head
	var all stream.Fields
	var host string
	n, err := parseFields(c.trailers, 0, lim, &h, &all, &host)
	if err != nil {
		return err
	}
	if n != len(c.trailers) {
		return errCharacters
	}
	for i := range all.Len() {
		if field := all.At(i); trailerAllowed(field.Name) {
			f.Add(field.Name, field.Value)
		}
	}
	return nil
}

func trailerAllowed(name string) bool {
	switch name {
	case "content-length", "content-encoding", "content-type", "content-range", "authorization", "cookie", "set-cookie",
		"trailer", "expect", "max-forwards", "cache-control", "proxy-authorization", "www-authenticate", "range", "if-match",
		"if-none-match", "location", "x-request-id":
		return false
	}
	return strings.IndexByte(name, '_') < 0 && !strings.HasPrefix(name, "x-forwarded-")
}
