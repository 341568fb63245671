package h2

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// rawPeer is a client that sends whatever frames a test likes.
type rawPeer struct {
	t  testing.TB
	nc net.Conn
	*http2.Framer
	block   bytes.Buffer
	encoder *hpack.Encoder
}

// newRaw connects, and gets the greetings over.
func newRaw(t testing.TB, addr string) *rawPeer {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(time.Minute))
	p := &rawPeer{t: t, nc: nc, Framer: http2.NewFramer(nc, nc)}
	p.AllowIllegalWrites = true
	p.encoder = hpack.NewEncoder(&p.block)
	p.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	_, _ = io.WriteString(nc, preface)
	_ = p.WriteSettings()
	for acked := false; !acked; {
		f, err := p.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		if s, ok := f.(*http2.SettingsFrame); ok {
			if acked = s.IsAck(); !acked {
				_ = p.WriteSettingsAck()
			}
		}
	}
	return p
}

var getFields = []string{":method", "GET", ":scheme", "http", ":path", "/", ":authority", "a"}

// encode returns a header block of names and values in turn.
func (p *rawPeer) encode(fields ...string) []byte {
	p.block.Reset()
	for i := 0; i < len(fields); i += 2 {
		_ = p.encoder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return p.block.Bytes()
}

// request opens a stream.
func (p *rawPeer) request(id uint32, end bool, fields ...string) {
	_ = p.WriteHeaders(http2.HeadersFrameParam{StreamID: id, EndStream: end, EndHeaders: true, BlockFragment: p.encode(fields...)})
}

// expect reads until a frame that want takes, and fails with all that came if there is none.
func (p *rawPeer) expect(what string, want func(http2.Frame) bool) http2.Frame {
	p.t.Helper()
	var seen []string
	for {
		f, err := p.ReadFrame()
		if err != nil {
			p.t.Fatalf("no %s: %v after %v", what, err, seen)
		}
		if want(f) {
			return f
		}
		seen = append(seen, f.Header().String())
	}
}

func (p *rawPeer) expectGoAway(code http2.ErrCode) {
	p.t.Helper()
	f := p.expect("GOAWAY", func(f http2.Frame) bool { return f.Header().Type == http2.FrameGoAway }).(*http2.GoAwayFrame)
	if f.ErrCode != code {
		p.t.Errorf("GOAWAY says %v (%s), not %v", f.ErrCode, f.DebugData(), code)
	}
	if _, err := p.ReadFrame(); !errors.Is(err, io.EOF) {
		p.t.Errorf("after GOAWAY: %v", err)
	}
}

func (p *rawPeer) expectReset(id uint32, code http2.ErrCode) {
	p.t.Helper()
	f := p.expect("RST_STREAM", func(f http2.Frame) bool {
		return f.Header().Type == http2.FrameRSTStream && f.Header().StreamID == id
	}).(*http2.RSTStreamFrame)
	if f.ErrCode != code {
		p.t.Errorf("RST_STREAM says %v, not %v", f.ErrCode, code)
	}
}

func (p *rawPeer) expectStatus(id uint32, status string) {
	p.t.Helper()
	f := p.expect("HEADERS", func(f http2.Frame) bool {
		return f.Header().Type == http2.FrameHeaders && f.Header().StreamID == id
	}).(*http2.MetaHeadersFrame)
	if got := f.PseudoValue("status"); got != status {
		p.t.Errorf("stream %d: status %s, not %s", id, got, status)
	}
}
