package http

import (
	"bytes"
	"io"
	"net"
	"runtime"
	"testing"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

const usualRequest = "GET /a/b?c=d HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: test/1.0\r\nAccept: */*\r\nX-Request-Id: 01234567-89ab-4cde-8f01-23456789abcd\r\n\r\n"

const usualAnswer = "HTTP/1.1 200 OK\r\nServer: test\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Type: text/plain\r\nContent-Length: 23\r\n\r\n01234567890123456789012"

// answering is a backend that costs as little as one can.
func answering(t testing.TB) string {
	return scripted(t, func(conn net.Conn) {
		buf, answer := make([]byte, 4096), []byte(usualAnswer)
		for have := 0; ; {
			n, err := conn.Read(buf[have:])
			if err != nil {
				return
			}
			if have += n; bytes.HasSuffix(buf[:have], []byte("\r\n\r\n")) {
				have = 0
				if _, err := conn.Write(answer); err != nil {
					return
				}
			}
		}
	})
}

// keptAlive sends one request on a connection and reads the answer.
type keptAlive struct {
	conn    net.Conn
	buf     []byte
	request []byte
	size    int // of an answer
}

func newKeptAlive(t testing.TB, r *rig) *keptAlive {
	k := &keptAlive{conn: r.raw(), buf: make([]byte, 4096), request: []byte(usualRequest)}
	if _, err := k.conn.Write(k.request); err != nil {
		t.Fatal(err)
	}
	for !bytes.HasSuffix(k.buf[:k.size], []byte("01234567890123456789012")) {
		n, err := k.conn.Read(k.buf[k.size:])
		if err != nil {
			t.Fatal(err)
		}
		k.size += n
	}
	return k
}

func (k *keptAlive) once(t testing.TB) {
	if _, err := k.conn.Write(k.request); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(k.conn, k.buf[:k.size]); err != nil {
		t.Fatal(err)
	}
}

func usual(r *rig) {
	r.cfg.Router.SuppressHeaders = true
	r.cfg.Filters = []config.HTTPFilter{{Name: "istio.stats", Config: &config.IstioStats{}}}
}

// TestKeptAliveAllocatesNothing: routing, a pooled connection, metrics and the access log included.
func TestKeptAliveAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes pools forget")
	}
	r := newRig(t, []string{answering(t)}, usual)
	k := newKeptAlive(t, r)
	for range 100 {
		k.once(t)
	}
	runtime.GC() // and no other one soon: pools would be emptied
	if n := testing.AllocsPerRun(500, func() { k.once(t) }); n >= 1 {
		t.Errorf("%v allocations a request", n)
	}
}

// BenchmarkKeptAlive is one request; client and backend run in the same process, so the engine's part is about half.
func BenchmarkKeptAlive(b *testing.B) {
	r := newRig(b, []string{answering(b)}, usual)
	k := newKeptAlive(b, r)
	b.ReportAllocs()
	for b.Loop() {
		k.once(b)
	}
}
