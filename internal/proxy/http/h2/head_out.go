package h2

import (
	"net/http"
	"strconv"

	"github.com/pillion-mesh/pillion/internal/proxy/http/codec"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// block is a HEADERS frame that is being queued. Between beginBlock and end nothing else may be.
type block struct {
	c     *conn
	id    uint32
	start int
}

func (s *core) beginBlock() block {
	c := s.c
	c.out.bytes = grow(c.out.bytes, 512)
	b := block{c, s.id, len(c.out.bytes)}
	c.out.bytes = c.encoder.Begin(appendFrame(c.out.bytes, 0, frameHeaders, 0, s.id))
	return b
}

func (b block) add(name, value string) {
	b.c.out.bytes = b.c.encoder.Append(b.c.out.bytes, name, value)
}

func (b block) addInt(name string, n int64) {
	b.c.out.bytes = b.c.encoder.AppendInt(b.c.out.bytes, name, n)
}

// addFields adds what HTTP/2 has a place for: not the fields of a connection, and none that frames the message, which
// is written from its length.
func (b block) addFields(f *stream.Fields) {
	for i := range f.Len() {
		field := f.At(i)
		switch field.Name {
		case "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "content-length", "host":
			continue
		case "te":
			if field.Value != "trailers" {
				continue
			}
		}
		b.add(field.Name, field.Value)
	}
}

// end completes the frame, and cuts it into CONTINUATION if it has become too long for one.
func (b block) end(endStream bool) {
	out := &b.c.out
	out.frames++
	flags := uint8(flagEndHeaders)
	if endStream {
		flags |= flagEndStream
	}
	n := len(out.bytes) - b.start - headerLen
	if n <= maxFrameSize {
		appendFrame(out.bytes[:b.start], n, frameHeaders, flags, b.id)
		return
	}
	b.cut(append([]byte(nil), out.bytes[b.start+headerLen:]...), flags&^flagEndHeaders)
}

func (b block) cut(p []byte, flags uint8) {
	out := &b.c.out
	out.bytes = out.bytes[:b.start]
	for kind := frameHeaders; ; kind, flags = frameContinuation, 0 {
		n := min(len(p), maxFrameSize)
		if n == len(p) {
			flags |= flagEndHeaders
		}
		out.bytes = append(appendFrame(out.bytes, n, kind, flags, b.id), p[:n]...)
		if p = p[n:]; len(p) == 0 {
			return
		}
	}
}

// writeTrailers ends the message with a block.
func (s *core) writeTrailers(f *stream.Fields) error {
	if f.Len() == 0 {
		return s.writeBody(nil, true)
	}
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.wakeWriters()
	if err := s.roomLocked(); err != nil {
		return err
	}
	b := s.beginBlock()
	b.addFields(f)
	b.end(true)
	s.endOutLocked()
	c.flushLocked()
	return nil
}

// writeResponse queues the head of an answer, or a 1xx before it.
func (s *core) writeResponse(r *stream.Response, end bool) error {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.wakeWriters()
	if err := s.roomLocked(); err != nil {
		return err
	}
	status := r.Status
	if status == 101 && s.upgraded {
		status = 200 // RFC 8441: that is what the answer to extended CONNECT is
	}
	if status < 100 || status > 599 || status == 101 || s.headSent {
		return &codec.Failure{Reason: codec.LocalReset, Details: "no head for HTTP/2"}
	}
	interim := status < 200
	b := s.beginBlock()
	b.add(":status", statusTexts[status-100])
	b.addFields(&r.Fields)
	if r.Length >= 0 && !interim && status != 204 {
		b.addInt("content-length", r.Length)
	}
	b.end(end && !interim)
	s.headSent = !interim
	if end && !interim {
		s.endOutLocked()
	}
	if end || interim {
		c.flushLocked()
	}
	return nil
}

var statusTexts = makeStatusTexts()

func makeStatusTexts() (t [500]string) {
	for i := range t {
		t[i] = strconv.Itoa(100 + i)
	}
	return t
}

// requestLocked queues the head of a request. An upgrade becomes extended CONNECT, RFC 8441.
func (s *core) requestLocked(r *stream.Request, end bool) {
	b := s.beginBlock()
	switch {
	case r.Upgrade != "":
		b.add(":method", http.MethodConnect)
		b.add(":protocol", r.Upgrade)
	default:
		b.add(":method", r.Method)
	}
	if r.Method != http.MethodConnect {
		b.add(":scheme", or(r.Scheme, "http"))
		b.add(":path", r.Path)
	}
	if r.Authority != "" {
		b.add(":authority", r.Authority)
	}
	b.addFields(&r.Fields)
	if r.Upgrade != "" || r.Method == http.MethodConnect {
		b.end(end) // no length: what follows is no content
		s.headSent = true
		return
	}
	if _, told := r.Fields.Get("content-length"); r.Length > 0 || r.Length == 0 && (told || r.HasBody) {
		b.addInt("content-length", r.Length)
	}
	b.end(end)
	s.headSent = true
	if end {
		s.endOutLocked()
	}
}
