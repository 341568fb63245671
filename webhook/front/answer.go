package front

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// answer is a handler's http.ResponseWriter. It keeps the body behind a gap, into which its head is written at the end:
// so both are one piece without being copied together.
type answer struct {
	header http.Header
	code   int // 0: none was said
	b      []byte
}

const (
	gap       = 512
	keptRoom  = 64 << 10 // a typical answer takes 10 KiB
	firstRoom = 16 << 10
)

func newAnswer() *answer { return &answer{header: http.Header{}, b: make([]byte, gap, firstRoom)} }

// reset makes it ready for the next one.
func (a *answer) reset() {
	clear(a.header)
	a.code, a.b = 0, a.b[:gap]
	if cap(a.b) > keptRoom {
		a.b = make([]byte, gap, firstRoom)
	}
}

// Header is http.ResponseWriter's.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader is http.ResponseWriter's.
func (a *answer) WriteHeader(code int) {
	if a.code == 0 {
		a.code = code
	}
}

// Write is http.ResponseWriter's. It never fails: what is written goes out when the handler returns.
func (a *answer) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	a.b = append(a.b, b...)
	return len(b), nil
}

// closes says whether the handler wants this to be the connection's last answer.
func (a *answer) closes() bool { return strings.EqualFold(a.header.Get("Connection"), "close") }

// whole is the answer's bytes, valid until reset.
func (a *answer) whole(now time.Time, last bool) []byte {
	a.WriteHeader(http.StatusOK)
	var room [gap]byte
	head := a.appendHead(room[:0], now, last)
	if len(head) > gap {
		return append(head, a.b[gap:]...)
	}
	return a.b[gap-copy(a.b[gap-len(head):], head):]
}

func (a *answer) appendHead(b []byte, now time.Time, last bool) []byte {
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(a.code), 10)
	b = append(append(append(b, ' '), http.StatusText(a.code)...), "\r\n"...)
	for name, values := range a.header {
		for _, value := range values {
			if name != "Content-Length" && name != "Connection" && name != "Date" {
				b = appendField(b, name, value)
			}
		}
	}
	b = append(b, "Date: "...)
	b = now.UTC().AppendFormat(b, http.TimeFormat)
	b = append(b, "\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(a.b)-gap), 10)
	if last {
		b = append(b, "\r\nConnection: close"...)
	}
	return append(b, "\r\n\r\n"...)
}

var oneLine = strings.NewReplacer("\r", " ", "\n", " ")

func appendField(b []byte, name, value string) []byte {
	b = append(append(b, name...), ": "...)
	return append(append(b, oneLine.Replace(value)...), "\r\n"...)
}
