package h1

import (
	"strconv"
	"strings"

	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// Limits of a head. Zero fields mean the defaults.
type Limits struct {
	Bytes  int // of the whole head; 60 KiB
	Fields int // 100
}

func (l Limits) withDefaults() Limits {
	if l.Bytes == 0 {
		l.Bytes = 60 << 10
	}
	if l.Fields == 0 {
		l.Fields = 100
	}
	return l
}

// head is what one HTTP connection tells the other end about the connection itself and the framing, as it stood in
// fields that are not forwarded.
type head struct {
	minor      byte   // of HTTP/1.minor
	hosts      int    // how often Host came
	lengths    int    // how often Content-Length came
	length     int64  // -1: none
	encodings  int    // how often Transfer-Encoding came
	encoding   string // its value
	connection string // values of Connection, joined
	upgrade    string
	keepAlive  string
	te         string
	expect     string
	underscore bool // a name has one
	close      bool // Connection: close
	keep       bool // Connection: keep-alive
	upgrading  bool // Connection: upgrade
}

// parseFields reads field lines and the empty line behind them. Names become lower case in buf. What only concerns
// this connection goes to h, the rest to f; host takes Host, nil in responses and trailers. n is 0 if buf ends too early.
func parseFields(buf []byte, i int, lim Limits, h *head, f *stream.Fields, host *string) (n int, err error) {
	for count := 0; ; count++ {
		if i >= len(buf) {
			return 0, nil
		}
		if buf[i] == '\r' {
			return endOfHead(buf, i)
		}
		if count == lim.Fields {
			return 0, errFieldCount
		}
		start := i
		for i < len(buf) {
			c := lower[buf[i]]
			if c == 0 {
				break
			}
			buf[i] = c
			i++
		}
		if i == len(buf) {
			return 0, nil
		}
		if i == start || buf[i] != ':' {
			return 0, badName(buf, start, i)
		}
		name := view(buf[start:i])
		for i++; i < len(buf) && (buf[i] == ' ' || buf[i] == '\t'); i++ {
		}
		start = i
		i += plainLen(buf[i:])
		if i+1 >= len(buf) && (i == len(buf) || buf[i] == '\r') {
			return 0, nil
		}
		if buf[i] != '\r' || buf[i+1] != '\n' {
			return 0, errCharacters
		}
		end := i
		for end > start && (buf[end-1] == ' ' || buf[end-1] == '\t') {
			end--
		}
		i += 2
		if err := h.field(f, name, view(buf[start:end]), host); err != nil {
			return 0, err
		}
	}
}

func endOfHead(buf []byte, i int) (n int, err error) {
	switch {
	case i+1 == len(buf):
		return 0, nil
	case buf[i+1] != '\n':
		return 0, errCharacters
	default:
		return i + 2, nil
	}
}

func badName(buf []byte, start, i int) error {
	c := buf[i]
	switch {
	case i == start && start > 0 && (c == ' ' || c == '\t'):
		return errFold
	case c < ' ' || c == 0x7f:
		return errCharacters
	default:
		return errFieldName
	}
}

// field puts one field where it belongs.
func (h *head) field(f *stream.Fields, name, value string, host *string) error {
	switch len(name) {
	case 2:
		if name == "te" {
			h.te = joined(h.te, value)
			return nil
		}
	case 4:
		if name == "host" && host != nil {
			h.hosts++
			*host = value
			return nil
		}
	case 6:
		if name == "expect" {
			h.expect = joined(h.expect, value)
		}
	case 7:
		if name == "upgrade" {
			h.upgrade = joined(h.upgrade, value)
			return nil
		}
	case 10:
		switch name {
		case "connection":
			h.connection = joined(h.connection, value)
			return nil
		case "keep-alive":
			h.keepAlive = value
			return nil
		}
	case 14:
		if name == "content-length" {
			return h.contentLength(f, value)
		}
	case 16:
		if name == "proxy-connection" {
			return nil
		}
	case 17:
		if name == "transfer-encoding" {
			h.encodings++
			h.encoding = value
			return nil
		}
	}
	if !h.underscore && strings.IndexByte(name, '_') >= 0 {
		h.underscore = true
	}
	f.Add(name, value)
	return nil
}

func (h *head) contentLength(f *stream.Fields, value string) error {
	n, ok := decimal(value)
	if h.lengths++; !ok || h.lengths > 1 {
		return errLength
	}
	h.length = n
	f.Add("content-length", value)
	return nil
}

func joined(have, value string) string {
	if have == "" {
		return value
	}
	return have + "," + value
}

// decimal reads digits and nothing else, up to 2^63-1.
func decimal(s string) (int64, bool) {
	if s == "" || len(s) > 19 {
		return 0, false
	}
	var n uint64
	for i := range len(s) {
		c := s[i] - '0'
		if c > 9 {
			return 0, false
		}
		n = n*10 + uint64(c)
	}
	return int64(n), n <= 1<<63-1 //nolint:gosec // just checked
}

// keepAliveTimeout returns N of Keep-Alive: timeout=N in seconds; -1: it doesn't say.
func keepAliveTimeout(value string) int {
	for part := range strings.SplitSeq(value, ",") {
		name, number, _ := strings.Cut(strings.TrimSpace(part), "=")
		if !strings.EqualFold(strings.TrimSpace(name), "timeout") {
			continue
		}
		if n, err := strconv.Atoi(strings.Trim(number, ` "`)); err == nil && n >= 0 {
			return n
		}
	}
	return -1
}
