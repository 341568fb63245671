package http

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// TestRefusedHeads: a request that the codec of HTTP/2 doesn't hand out is counted and logged all the same.
func TestRefusedHeads(t *testing.T) {
	good := []string{":method", "GET", ":scheme", "http", ":authority", "a", ":path", "/x"}
	many := append([]string(nil), good...)
	for range 200 {
		many = append(many, "n", "v")
	}
	for name, c := range map[string]struct {
		fields []string
		log    string
	}{
		"too many fields": {many, "431 DPE http2.too_many_headers 0 0 GET /x"},
		"too large":       {append(good[:8:8], "n", strings.Repeat("v", 61<<10)), "431 DPE http2.headers_too_large 0 0 GET /x"},
		"upper case":      {append(good[:8:8], "N", "v"), "0 DPE http2.field_name 0 0 GET /x"},
		"a length":        {append(good[:8:8], "content-length", "3"), "0 DPE http2.content_length 0 0 GET /x"},
		"no method":       {good[2:], "0 DPE http2.method 0 0 - /x"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil, func(r *rig) {
				r.cfg.Codec = config.CodecHTTP2
				r.cfg.AccessLogs[0].Format.Source = "%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %BYTES_RECEIVED% %BYTES_SENT% %REQ(:METHOD)% %REQ(:PATH)%\n"
			})
			conn := r.raw()
			r.h2Request(conn, c.fields)
			r.logged(c.log)
			if n := r.store.HTTP("test").Shard(1).RqTotal.Load(); n != 1 {
				t.Errorf("%d requests counted", n)
			}
		})
	}
}

// h2Request writes a preface and one request without body, and reads nothing.
func (r *rig) h2Request(conn net.Conn, fields []string) {
	r.t.Helper()
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for i := 0; i < len(fields); i += 2 {
		_ = encoder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	_, _ = io.WriteString(conn, http2.ClientPreface)
	framer := http2.NewFramer(conn, conn)
	_ = framer.WriteSettings()
	piece := block.Next(16384)
	_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndStream: true, EndHeaders: block.Len() == 0, BlockFragment: piece})
	for block.Len() > 0 {
		piece = block.Next(16384)
		_ = framer.WriteContinuation(1, block.Len() == 0, piece)
	}
}

// TestUnusableHost: a host that ends connections as they begin costs each request two of them at most, and no time.
func TestUnusableHost(t *testing.T) {
	for name, serve := range map[string]func(net.Conn){
		"closes": func(net.Conn) {},
		"leaves": func(conn net.Conn) {
			framer := http2.NewFramer(conn, conn)
			_ = framer.WriteSettings()
			_ = framer.WriteGoAway(0, http2.ErrCodeNo, nil)
			_, _ = io.Copy(io.Discard, conn)
		},
	} {
		t.Run(name, func(t *testing.T) {
			const requests = 20
			var conns atomic.Int32
			backend := scripted(t, func(conn net.Conn) { conns.Add(1); serve(conn) })
			r := newRig(t, []string{backend}, func(r *rig) { r.protocol = config.UpstreamHTTP2 })
			client := r.client()
			var all sync.WaitGroup
			for range requests {
				all.Go(func() {
					answer, err := client.Get("http://" + r.address)
					if err != nil {
						t.Error(err)
						return
					}
					defer answer.Body.Close()
					if answer.StatusCode != http.StatusServiceUnavailable {
						t.Error(answer.StatusCode)
					}
				})
			}
			all.Wait()
			if n := conns.Load(); n > 2*requests {
				t.Errorf("%d connections for %d requests", n, requests)
			}
		})
	}
}
