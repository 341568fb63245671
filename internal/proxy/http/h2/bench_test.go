package h2

import (
	"io"
	"net"
	"net/http"
	"sync"
	"testing"

	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// BenchmarkServer compares servers before the same client: raw frames, 100 streams at once on one connection. The
// client's cost is in both figures.
func BenchmarkServer(b *testing.B) {
	exchanges := sync.Pool{New: func() any { return new(stream.Exchange) }}
	b.Run("own", func(b *testing.B) {
		load(b, serve(b, Options{}, func(s *ServerStream) {
			x := exchanges.Get().(*stream.Exchange)
			s.Head(x)
			x.Response.Status, x.Response.Length = 200, 23
			x.Response.Fields.Add("content-type", "text/plain")
			_ = s.WriteHead(&x.Response, false)
			_ = s.WriteBody([]byte("hello, this is the body"), true)
			x.Reset(nil, x.Start)
			exchanges.Put(x)
		}))
	})
	b.Run("x-net", func(b *testing.B) {
		load(b, xnetServer(b, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			_, _ = io.WriteString(w, "hello, this is the body")
		}))
	})
}

const together = 100

func load(b *testing.B, addr string) {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	defer nc.Close()
	out := appendSettings([]byte(preface), settingValue{settingWindow, maxWindow})
	out = appendWindowUpdate(out, 0, maxWindow-rfcWindow)
	_, _ = nc.Write(out)
	var block []byte
	for _, f := range [][2]string{{":method", "GET"}, {":scheme", "http"}, {":path", "/orders/4711"}, {":authority", "orders.shop.svc"},
		{"user-agent", "curl/8"}, {"accept", "*/*"}} {
		block = append(appendRaw(block, f[0]), byte(len(f[1])))
		block = append(block, f[1]...)
	}
	in := make([]byte, 64<<10)
	rest := 0
	id := uint32(1)
	b.ReportAllocs()
	b.ResetTimer()
	for done := 0; done < b.N; {
		n := min(together, b.N-done)
		out = out[:0]
		for range n {
			out = append(appendFrame(out, len(block), frameHeaders, flagEndStream|flagEndHeaders, id), block...)
			id += 2
		}
		if _, err := nc.Write(out); err != nil {
			b.Fatal(err)
		}
		for ended := 0; ended < n; {
			k, err := nc.Read(in[rest:])
			if err != nil {
				b.Fatal(err)
			}
			p := in[:rest+k]
			for len(p) >= headerLen {
				h := parseHeader(p)
				if len(p) < headerLen+h.length {
					break
				}
				if h.kind == frameReset || h.kind == frameGoAway {
					b.Fatal(h)
				}
				if h.kind <= frameHeaders && h.has(flagEndStream) {
					ended++
				}
				p = p[headerLen+h.length:]
			}
			rest = copy(in, p)
		}
		done += n
	}
}

func appendRaw(block []byte, name string) []byte {
	return append(append(block, 0, byte(len(name))), name...)
}

// BenchmarkProxy is the way of a request through both sides: h2 in, h2 out to x/net's server.
func BenchmarkProxy(b *testing.B) {
	crew := NewCrew(nil)
	defer crew.Close()
	load(b, proxyTo(b, serve(b, Options{Crew: crew}, hello), Options{Crew: crew}))
}
