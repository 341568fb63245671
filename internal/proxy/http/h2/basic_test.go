package h2

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/pillion-mesh/pillion/internal/proxy/socket/sockettest"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// serve runs a server on loopback for each connection, and checks at the end that all is gone.
func serve(t testing.TB, o Options, handler Handler) string {
	t.Helper()
	l := sockettest.Listen(t)
	var all sync.WaitGroup
	var mu sync.Mutex
	var servers []*Server
	all.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			s := NewServer(nc, o, handler)
			mu.Lock()
			servers = append(servers, s)
			mu.Unlock()
			all.Go(func() { _ = s.Serve() })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for _, s := range servers {
			s.Close()
		}
		mu.Unlock()
		all.Wait()
	})
	return l.Addr().String()
}

// echo sends a request back: its method and path as fields, its body and trailers.
func echo(s *ServerStream) {
	x := &stream.Exchange{}
	s.Head(x)
	r := &stream.Response{Status: 200, Length: -1}
	r.Fields.Add("x-method", x.Request.Method)
	r.Fields.Add("x-path", x.Request.Path)
	r.Fields.Add("x-authority", x.Request.Authority)
	if c, ok := x.Request.Fields.Get("cookie"); ok {
		r.Fields.Add("x-cookie", c)
	}
	if s.WriteHead(r, !x.Request.HasBody) != nil || !x.Request.HasBody {
		return
	}
	for {
		if !s.Ready() && s.Flush() != nil {
			return
		}
		p, end, err := s.ReadBody()
		if err != nil || s.WriteBody(p, end && x.RequestTrailers.Len() == 0) != nil {
			return
		}
		if end {
			if x.RequestTrailers.Len() > 0 {
				_ = s.WriteTrailers(&x.RequestTrailers)
			}
			return
		}
	}
}

// netClient is x/net's client with prior knowledge.
func netClient(t testing.TB) *http.Client {
	tr := &http2.Transport{AllowHTTP: true, DialTLSContext: func(ctx context.Context, network, addr string, _ *tls.Config) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: time.Minute}
}

func TestXNetClient(t *testing.T) {
	addr := serve(t, Options{}, echo)
	client := netClient(t)
	for _, size := range []int{0, 1, 16384, 16385, 300000, 5 << 20} {
		body := make([]byte, size)
		for i := range body {
			body[i] = byte(rand.Uint32())
		}
		req, _ := http.NewRequest(http.MethodPost, "http://"+addr+"/a?b=c", bytes.NewReader(body))
		req.Header.Set("Cookie", "a=b; c=d")
		if size > 0 { // x/net announces trailers of an empty body and doesn't send them
			req.Trailer = http.Header{"X-Check": {"yes"}}
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(size, err)
		}
		got, err := io.ReadAll(resp.Body)
		if err != nil || !bytes.Equal(got, body) {
			t.Fatalf("%d bytes: got %d, %v", size, len(got), err)
		}
		if resp.Header.Get("x-path") != "/a?b=c" || resp.Header.Get("x-cookie") != "a=b; c=d" {
			t.Errorf("head: %v", resp.Header)
		}
		if size > 0 && resp.Trailer.Get("x-check") != "yes" {
			t.Errorf("%d bytes: trailers %v", size, resp.Trailer)
		}
	}
}

func TestXNetServer(t *testing.T) {
	addr := xnetServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		n, _ := io.Copy(w, r.Body)
		w.Header().Set("X-Sum", strings.Repeat("s", int(n%7)))
	})
	c := dial(t, addr, Options{})
	for _, size := range []int{0, 1, 16384, 300000, 5 << 20} {
		body := bytes.Repeat([]byte("abcdefg"), size/7+1)[:size]
		status, got, trailers := exchange(t, c, body)
		if status != 200 || !bytes.Equal(got, body) {
			t.Fatalf("%d bytes: status %d, %d bytes", size, status, len(got))
		}
		if want := strings.Repeat("s", size%7); trailers.Value("x-sum") != want {
			t.Errorf("%d bytes: trailers %v", size, trailers)
		}
	}
}

// xnetServer runs x/net's server.
func xnetServer(t testing.TB, handler http.HandlerFunc) string {
	t.Helper()
	l := sockettest.Listen(t)
	var all sync.WaitGroup
	var conns sync.Map
	all.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			conns.Store(nc, true)
			all.Go(func() {
				(&http2.Server{MaxConcurrentStreams: 200}).ServeConn(nc, &http2.ServeConnOpts{Handler: handler})
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		conns.Range(func(nc, _ any) bool { _ = nc.(net.Conn).Close(); return true })
		all.Wait()
	})
	return l.Addr().String()
}

func dial(t testing.TB, addr string, o Options) *Client {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	c := NewClient(nc, o)
	t.Cleanup(c.Close)
	return c
}

// exchange sends a POST with body and returns the answer.
func exchange(t testing.TB, c *Client, body []byte) (int, []byte, *stream.Fields) {
	t.Helper()
	x := &stream.Exchange{}
	s := c.Stream(x)
	if s == nil {
		t.Fatal("no stream")
	}
	defer s.Close()
	x.Request = stream.Request{Method: "POST", Scheme: "http", Authority: "a", Path: "/", HasBody: true, Length: -1}
	if err := s.WriteHead(&x.Request, false); err != nil {
		t.Fatal(err)
	}
	sent := make(chan error, 1)
	go func() { sent <- s.WriteBody(body, true) }()
	end, err := s.ReadHead(&x.Response)
	var got []byte
	for !end && err == nil {
		var p []byte
		p, end, err = s.ReadBody()
		got = append(got, p...)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	return x.Response.Status, got, &x.ResponseTrailers
}
