package h2

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/net/http2"

	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// waitGone works until the client gives up.
func waitGone(s *ServerStream) {
	s.Head(&stream.Exchange{})
	gone := make(chan struct{})
	s.OnGone(func() { close(gone) })
	<-gone
}

func TestFloodGuards(t *testing.T) {
	for name, do := range map[string]func(*rawPeer){
		"rapid reset": func(p *rawPeer) {
			for i := range uint32(600) {
				p.request(2*i+1, true, getFields...)
				_ = p.WriteRSTStream(2*i+1, http2.ErrCodeCancel)
			}
		},
		"CONTINUATION without end": func(p *rawPeer) {
			_ = p.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: p.encode(getFields...)})
			for range 20 {
				_ = p.WriteContinuation(1, false, []byte{0x88})
			}
		},
		"empty CONTINUATION": func(p *rawPeer) {
			_ = p.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: p.encode(getFields...)})
			_ = p.WriteContinuation(1, false, nil)
			_ = p.WriteContinuation(1, false, nil)
		},
		"empty DATA": func(p *rawPeer) {
			p.request(1, false, getFields...)
			_ = p.WriteData(1, false, nil)
			_ = p.WriteData(1, false, nil)
		},
		"PRIORITY": func(p *rawPeer) {
			p.request(1, false, getFields...)
			for range 201 {
				_ = p.WritePriority(1, http2.PriorityParam{StreamDep: 3})
			}
		},
		"WINDOW_UPDATE": func(p *rawPeer) {
			p.request(1, false, getFields...)
			for range 8 {
				_ = p.WriteWindowUpdate(1, 1)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			counters := &Counters{}
			p := newRaw(t, serve(t, Options{Counters: counters}, waitGone))
			do(p)
			p.expectGoAway(http2.ErrCodeEnhanceYourCalm)
			if n := counters.Floods.Load(); n != 1 {
				t.Errorf("%d floods counted", n)
			}
		})
	}
}

// TestHonestPeersPassTheGuards: what stands next to each limit is let through.
func TestHonestPeersPassTheGuards(t *testing.T) {
	p := newRaw(t, serve(t, Options{}, waitGone))
	for i := range uint32(499) {
		p.request(2*i+1, true, getFields...)
		_ = p.WriteRSTStream(2*i+1, http2.ErrCodeCancel)
	}
	_ = p.WriteHeaders(http2.HeadersFrameParam{StreamID: 2001, BlockFragment: p.encode(getFields...)})
	for i := range 15 {
		_ = p.WriteContinuation(2001, i == 14, p.encode("x", "y"))
	}
	_ = p.WriteData(2001, false, nil)
	_ = p.WriteData(2001, false, []byte("x"))
	_ = p.WriteData(2001, false, nil)
	for range 100 {
		_ = p.WritePriority(1, http2.PriorityParam{StreamDep: 3})
	}
	for range 5 {
		_ = p.WriteWindowUpdate(0, 1)
	}
	_ = p.WritePing(false, [8]byte{1})
	p.expect("PING", func(f http2.Frame) bool { return f.Header().Type == http2.FramePing })
}

// TestUnreadAnswers: a peer that asks and doesn't read can't make us remember its answers.
func TestUnreadAnswers(t *testing.T) {
	for name, ask := range map[string]func(*rawPeer, uint32) error{
		"PING":     func(p *rawPeer, _ uint32) error { return p.WritePing(false, [8]byte{}) },
		"SETTINGS": func(p *rawPeer, _ uint32) error { return p.WriteSettings() },
		"RST_STREAM": func(p *rawPeer, i uint32) error {
			return p.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*i + 1, EndHeaders: true, BlockFragment: []byte{0x82}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			counters := &Counters{}
			p := newRaw(t, serve(t, Options{Counters: counters}, waitGone))
			_ = p.nc.(*net.TCPConn).SetReadBuffer(4096)
			p.Framer = http2.NewFramer(bufio.NewWriterSize(p.nc, 4<<10), p.nc) // many, but fewer at once than the limit
			p.AllowIllegalWrites = true
			var err error
			for i := uint32(0); err == nil; i++ {
				err = ask(p, i)
			}
			if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
				t.Fatal(err)
			}
			if n := counters.Floods.Load(); n != 1 {
				t.Errorf("%d floods counted", n)
			}
		})
	}
}

func TestHeadsTooLarge(t *testing.T) {
	many := append([]string(nil), getFields...)
	for i := range 97 {
		many = append(many, fmt.Sprintf("x-%d", i), "")
	}
	for name, c := range map[string]struct {
		fields []string
		status string
	}{
		"100 fields":    {many[:200], "200"},
		"101 fields":    {many, "431"},
		"59 KiB":        {append(getFields[:8:8], "x", strings.Repeat("v", 59<<10)), "200"},
		"60 KiB":        {append(getFields[:8:8], "x", strings.Repeat("v", 60<<10)), "431"},
		"60 KiB in all": {append(getFields[:8:8], "x", strings.Repeat("v", 30<<10), "y", strings.Repeat("v", 30<<10)), "431"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newRaw(t, serve(t, Options{}, hello))
			block := p.encode(c.fields...)
			first := min(len(block), 16384)
			_ = p.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndStream: true, EndHeaders: first == len(block), BlockFragment: block[:first]})
			for block = block[first:]; len(block) > 0; {
				n := min(len(block), 16384)
				_ = p.WriteContinuation(1, n == len(block), block[:n])
				block = block[n:]
			}
			p.expectStatus(1, c.status)
			p.request(3, true, getFields...) // the connection lives, and its table is right
			p.expectStatus(3, "200")
		})
	}
}

func TestTableSizeOverTheSetting(t *testing.T) {
	p := newRaw(t, serve(t, Options{}, hello))
	_ = p.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndStream: true, EndHeaders: true, BlockFragment: []byte{0x3f, 0xe2, 0x1f, 0x82}})
	p.expectGoAway(http2.ErrCodeCompression)
}

// TestStreamsThatStillWork: a stream the client reset counts until its handler is done.
func TestStreamsThatStillWork(t *testing.T) {
	release := make(chan struct{})
	p := newRaw(t, serve(t, Options{MaxStreams: 3}, func(s *ServerStream) {
		<-release
		hello(s)
	}))
	for id := uint32(1); id <= 5; id += 2 {
		p.request(id, true, getFields...)
		_ = p.WriteRSTStream(id, http2.ErrCodeCancel)
	}
	p.request(7, true, getFields...)
	p.expectReset(7, http2.ErrCodeRefusedStream)
	close(release)
	for id := uint32(9); ; id += 2 { // some are still on their way out
		p.request(id, true, getFields...)
		f := p.expect("an answer", func(f http2.Frame) bool { return f.Header().StreamID == id })
		if f.Header().Type == http2.FrameHeaders {
			return
		}
	}
}
