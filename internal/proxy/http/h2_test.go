package http

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// h2Client is net/http's client, speaking HTTP/2 without TLS.
func (r *rig) h2Client() *http.Client {
	transport := &http2.Transport{AllowHTTP: true, DialTLSContext: func(ctx context.Context, network, address string, _ *tls.Config) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}}
	r.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patient}
}

func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("Trailer", "X-Sum")
	fmt.Fprintf(w, "%s %s %s %d", r.Proto, r.Method, r.Host, len(body))
	_ = http.NewResponseController(w).Flush() // a length would leave HTTP/1.1 no place for trailers
	w.Header().Set("X-Sum", r.Trailer.Get("X-Ask"))
}

// TestVersions passes requests between all versions of clients and servers.
func TestVersions(t *testing.T) {
	for _, up := range []config.UpstreamProtocol{config.UpstreamHTTP1, config.UpstreamHTTP2} {
		for _, down := range []config.Codec{config.CodecHTTP1, config.CodecHTTP2} {
			t.Run(fmt.Sprintf("%d to %d", down, up), func(t *testing.T) {
				backend := served(t, echo)
				r := newRig(t, []string{backend}, func(r *rig) {
					r.cfg.Codec = down
					r.protocol = up
				})
				client := r.client()
				if down == config.CodecHTTP2 {
					client = r.h2Client()
				}
				var all sync.WaitGroup
				for i := range 20 {
					all.Go(func() {
						for _, size := range []int{0, 10, 100_000 + i} {
							r.checkEcho(client, up, size)
						}
					})
				}
				all.Wait()
			})
		}
	}
}

func (r *rig) checkEcho(client *http.Client, up config.UpstreamProtocol, size int) {
	var body io.Reader
	method := http.MethodGet
	if size > 0 {
		method, body = http.MethodPost, io.MultiReader(strings.NewReader(strings.Repeat("x", size))) // of unknown length
	}
	req, err := http.NewRequestWithContext(context.Background(), method, "http://"+r.address+"/", body)
	if err != nil {
		r.t.Error(err)
		return
	}
	if size > 0 {
		req.Trailer = http.Header{"X-Ask": {"7"}}
	}
	answer, err := client.Do(req)
	if err != nil {
		r.t.Error(err)
		return
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	proto := "HTTP/1.1"
	if up == config.UpstreamHTTP2 {
		proto = "HTTP/2.0"
	}
	want := fmt.Sprintf("%s %s %s %d", proto, method, r.address, size)
	if err != nil || string(text) != want || size > 0 && answer.Trailer.Get("X-Sum") != "7" {
		r.t.Errorf("%q %v %v, want %q", text, answer.Trailer, err, want)
	}
}

// TestStreamGone: an upstream that works for a stream nobody wants any more is cut.
func TestStreamGone(t *testing.T) {
	began, gone := make(chan struct{}), make(chan struct{})
	backend := served(t, func(_ http.ResponseWriter, r *http.Request) {
		close(began)
		<-r.Context().Done()
		close(gone)
	})
	r := newRig(t, []string{backend}, func(r *rig) { r.cfg.Codec = config.CodecHTTP2 })
	ctx, cancel := context.WithCancel(context.Background())
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.address+"/", http.NoBody)
	var done sync.WaitGroup
	done.Go(func() {
		if answer, err := r.h2Client().Do(req); err == nil {
			answer.Body.Close()
			t.Error("answered")
		}
	})
	<-began
	cancel()
	select {
	case <-gone:
	case <-time.After(patient):
		t.Error("the upstream wasn't cut")
	}
	done.Wait()
	r.logged("0 DC downstream_remote_disconnect")
}

// TestAutoByPreface: without ALPN the first bytes tell the version, however they come.
func TestAutoByPreface(t *testing.T) {
	r := newRig(t, []string{served(t, echo)}, nil)
	if answer, body := r.do(r.h2Client(), "POST", "/", "abc"); answer.ProtoMajor != 2 || body != "HTTP/1.1 POST "+r.address+" 3" {
		t.Errorf("%s %q", answer.Proto, body)
	}
	if n := r.store.HTTP("test").CxHTTP1.Load(); n != 0 {
		t.Errorf("%d connections of HTTP/1", n)
	}
	conn := r.raw()
	for _, piece := range []string{"P", "RI * HTTP/2", ".", "0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04", "\x00\x00\x00\x00\x00"} {
		if _, err := io.WriteString(conn, piece); err != nil {
			t.Fatal(err)
		}
	}
	head := make([]byte, 9)
	if _, err := io.ReadFull(conn, head); err != nil || head[3] != 4 {
		t.Errorf("no SETTINGS: %x, %v", head, err)
	}
}
