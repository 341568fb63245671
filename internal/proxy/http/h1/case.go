package h1

import (
	"bytes"
	"strings"

	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// spelled notes how the names of the first head in buf are spelled, before parsing makes them lower case. Of two
// spellings of one name the first counts. It is nil if there is nothing to note.
func spelled(buf []byte) (c stream.Case) {
	eachName(buf, func(name []byte) {
		if lower := strings.ToLower(string(name)); lower != string(name) && c[lower] == "" {
			if c == nil {
				c = stream.Case{}
			}
			c[lower] = string(name)
		}
	})
	return c
}

// respell writes the names of a head as they were spelled.
func respell(head []byte, c stream.Case) {
	if c == nil {
		return
	}
	eachName(head, func(name []byte) { copy(name, c[string(name)]) })
}

// eachName finds the names of a head's fields, behind its first line.
func eachName(head []byte, f func(name []byte)) {
	_, rest, _ := bytes.Cut(head, crlf)
	for len(rest) > 0 && rest[0] != '\r' {
		var line []byte
		line, rest, _ = bytes.Cut(rest, crlf)
		if colon := bytes.IndexByte(line, ':'); colon > 0 {
			f(line[:colon])
		}
	}
}

var crlf = []byte("\r\n")

// partial reports whether a head isn't whole yet, though it may still become so: its last name may be cut.
func partial(buf []byte, lim Limits) bool { return len(buf) < lim.Bytes && !endsHead(buf) }
