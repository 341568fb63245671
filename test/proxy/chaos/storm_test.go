package chaos

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/test/proxy/rig"
)

// fickle is a backend that does what the path says.
func fickle(c *net.TCPConn) {
	for b := bufio.NewReader(c); ; {
		r, err := http.ReadRequest(b)
		if err != nil {
			return
		}
		switch r.URL.Path {
		case "/reset": // before it answers
			_ = c.SetLinger(0)
			return
		case "/close":
			return
		case "/hang": // until somebody else ends it
			_, _ = io.Copy(io.Discard, b)
			return
		case "/resethead":
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Le")
			_ = c.SetLinger(0)
			return
		case "/resetbody", "/closebody":
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"+strings.Repeat("x", rand.IntN(50000)))
			if r.URL.Path == "/resetbody" {
				_ = c.SetLinger(0)
			}
			return
		case "/resetchunk":
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n5\r\nhe")
			_ = c.SetLinger(0)
			return
		case "/garbage":
			_, _ = io.WriteString(c, "\x16\x03\x01 this is not HTTP\r\n\r\n")
			return
		case "/early": // an answer that doesn't wait for the body
			_, _ = io.WriteString(c, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 5\r\nConnection: close\r\n\r\nlarge")
			_ = c.CloseWrite()
			_, _ = io.CopyN(io.Discard, b, 1<<20)
			return
		case "/slow": // a byte at a time
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				return
			}
			for _, letter := range []byte("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello") {
				if _, err := c.Write([]byte{letter}); err != nil {
					return
				}
			}
		case "/never": // the same, and stops within the head
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nX-")
			_, _ = io.Copy(io.Discard, b)
			return
		default:
			n, err := io.Copy(io.Discard, r.Body)
			if err != nil {
				return
			}
			if _, err := fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n%0100000d", n); err != nil {
				return
			}
		}
	}
}

var paths = []string{
	"/fine", "/fine", "/reset", "/close", "/hang", "/resethead", "/resetbody", "/closebody", "/resetchunk", "/garbage", "/early", "/slow",
	"/never", "/nobody", "/missing", "/none",
}

// stormRoutes: every wait for a backend ends soon.
func stormRoutes() rig.JSON {
	to := func(prefix, cluster string) rig.JSON {
		return rig.JSON{"match": rig.JSON{"prefix": prefix}, "route": rig.JSON{"cluster": cluster, "timeout": "0.3s"}}
	}
	return rig.Routes(
		to("/nobody", "nobody"), to("/missing", "missing"), to("/none", "none"),
		rig.JSON{"match": rig.JSON{"prefix": "/fine"}, "route": rig.JSON{"cluster": "backend", "timeout": "0s"}},
		rig.JSON{"match": rig.JSON{"prefix": "/early"}, "route": rig.JSON{"cluster": "backend", "timeout": "0s"}},
		rig.JSON{"match": rig.JSON{"prefix": "/slow"}, "route": rig.JSON{"cluster": "backend", "timeout": "0s"}},
		to("/", "backend"))
}

// TestStorm lets clients and backends fail in all ways at once, through two proxies with HTTP/2 and TLS between them.
func TestStorm(t *testing.T) {
	before := measure(t)
	t.Run("storm", func(t *testing.T) {
		closed := rig.Listen(t)
		closed.Close()
		manager := rig.JSON{"request_headers_timeout": "0.3s"}
		ca := rig.NewCA(t)
		clusters := []rig.JSON{rig.Cluster("nobody", nil, closed.Addr().String()), rig.Cluster("none", nil)}
		in := rig.Listener(rig.Manager(manager, stormRoutes()), rig.ServerTLS(ca, ca.Issue("b"), "h2", "http/1.1"))
		second := rig.Start(t, rig.Static(in, append(clusters, rig.Cluster("backend", nil, rig.Scripted(t, fickle)))...))
		link := rig.With(rig.HTTP2(), rig.ClientTLS(ca, ca.Issue("a"), "b", "h2"))
		out := rig.Listener(rig.Manager(manager, stormRoutes()), nil)
		first := rig.Start(t, rig.Static(out, append(clusters, rig.Cluster("backend", link, second.Address))...))

		books := newLedger()
		var wait sync.WaitGroup
		end := time.Now().Add(soak(t))
		for i := range 8 {
			wait.Go(func() {
				client := rig.Client(t, 1+i%2)
				for n := 0; n < 40 || time.Now().Before(end); n++ {
					ask(books, client, first.Address, i+n)
				}
			})
		}
		wait.Go(func() {
			for n := 0; n < 12 || time.Now().Before(end); n++ {
				rude(t, first.Address, n)
				garbage(second.Address, n)
			}
		})
		wait.Wait()
		good(t, books, rig.Client(t, 1), first.Address)
		for _, p := range []*rig.Proxy{first, second} { // the second one ends after its clients
			log := counted(t, p, func() []line { return lines(t, p.Log()) })
			if p == first {
				books.settle(t, log)
			}
			if n := count(log, func(l line) bool { return l.code == "0" && l.flags == "-" }); n > 0 {
				t.Errorf("%d requests without answer and without flag", n)
			}
		}
	})
	before.back(t)
}

func count(log []line, f func(line) bool) (n int) {
	for _, l := range log {
		if f(l) {
			n++
		}
	}
	return n
}

// ask makes one request of those net/http can make.
func ask(books *ledger, client *http.Client, address string, n int) {
	id := books.id()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var body io.Reader
	method := http.MethodGet
	switch n % 3 {
	case 1:
		method, body = http.MethodPost, strings.NewReader(strings.Repeat("b", 300000))
	case 2:
		method, body = http.MethodPut, struct{ io.Reader }{strings.NewReader("short")}
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://"+address+paths[n%len(paths)], body)
	if err != nil {
		return
	}
	r.Header.Set("X-Id", id)
	leaves := rand.IntN(8) == 0
	if leaves {
		time.AfterFunc(time.Duration(rand.IntN(20))*time.Millisecond, cancel)
	}
	saw := do(client, r)
	saw.mine = leaves
	books.note(id, saw)
}

func do(client *http.Client, r *http.Request) (saw verdict) {
	resp, err := client.Do(r)
	if err != nil {
		return saw
	}
	defer resp.Body.Close()
	saw.status = resp.StatusCode
	text, err := io.ReadAll(resp.Body)
	saw.whole, saw.body = err == nil, string(text[:min(len(text), 100)])
	return saw
}

// good asserts that the proxy still works.
func good(t *testing.T, books *ledger, client *http.Client, address string) {
	t.Helper()
	id := books.id()
	r, err := http.NewRequest(http.MethodGet, "http://"+address+"/fine", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Id", id)
	saw := do(client, r)
	books.note(id, saw)
	if saw.status != 200 || !saw.whole {
		t.Errorf("after the storm: %+v", saw)
	}
}

// rude is a client that breaks off somewhere.
func rude(t *testing.T, address string, n int) {
	c, err := net.Dial("tcp4", address)
	if err != nil {
		t.Error(err)
		return
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(rig.Patience))
	const whole = "POST /fine HTTP/1.1\r\nHost: a\r\nX-Id: -\r\nContent-Length: 100\r\n\r\nhalf"
	switch n % 6 {
	case 0: // slow loris: it gets 408, or is closed
		_, _ = io.WriteString(c, whole[:30])
		_, _ = io.Copy(io.Discard, c)
	case 1: // goes in the middle
		_, _ = io.WriteString(c, whole[:rand.IntN(len(whole))])
	case 2: // the same, with a reset
		_, _ = io.WriteString(c, whole[:rand.IntN(len(whole))])
		_ = c.(*net.TCPConn).SetLinger(0)
	case 3: // TLS where there is none
		_ = tls.Client(c, &tls.Config{InsecureSkipVerify: true}).Handshake()
	case 4: // anything
		_, _ = c.Write(random(1 + rand.IntN(3000)))
		_ = c.(*net.TCPConn).CloseWrite()
		_, _ = io.Copy(io.Discard, c)
	case 5: // HTTP/2 that becomes nonsense
		_, _ = io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"+string(random(300)))
		_ = c.(*net.TCPConn).CloseWrite()
		_, _ = io.Copy(io.Discard, c)
	}
}

// garbage is for a listener with TLS.
func garbage(address string, n int) {
	c, err := net.Dial("tcp4", address)
	if err != nil {
		return
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(rig.Patience))
	switch n % 4 {
	case 0:
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	case 1: // a record that begins well
		_, _ = c.Write(append([]byte{0x16, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3}, random(100)...))
	case 2: // a client without certificate
		secure := tls.Client(c, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
		if err := secure.Handshake(); err == nil {
			_, err = secure.Read(make([]byte, 1))
			if errors.Is(err, net.ErrClosed) {
				return
			}
		}
		return
	case 3:
		_, _ = c.Write(random(5000))
	}
	_ = c.(*net.TCPConn).CloseWrite()
	_, _ = io.Copy(io.Discard, c)
}

func random(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rand.IntN(256))
	}
	return b
}
