package ops

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fakePeers says who everybody is.
type fakePeers struct {
	uid uint32
	err error
}

func (p fakePeers) UnixUID(*net.UnixConn) (uint32, error) { return p.uid, p.err }
func (p fakePeers) TCPUID(*net.TCPConn) (uint32, error)   { return p.uid, p.err }

const ourUID = 1337

var paths = []string{"/anyone", "/loopback", "/ourselves"}

// startGuarded serves one path a level on every listener and returns their addresses.
func startGuarded(t *testing.T, peers Peers, listeners ...net.Listener) {
	t.Helper()
	guard := &Guard{OwnUID: ourUID, Peers: peers}
	mux := http.NewServeMux()
	for level, path := range paths {
		mux.HandleFunc(path, guard.Require(Level(level), func(w http.ResponseWriter, _ *http.Request) { Text(w, "OK") }))
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, len(listeners))
	for _, l := range listeners {
		go func() { done <- Serve(ctx, l, mux, Limits{}) }()
	}
	t.Cleanup(func() {
		cancel()
		for range listeners {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
}

func listen(t *testing.T, network, address string) net.Listener {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// codes calls the three paths and returns the answers' codes.
func codes(t *testing.T, dial func() (net.Conn, error), header http.Header, host string) (got [3]int) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(context.Context, string, string) (net.Conn, error) { return dial() },
	}}
	for i, path := range paths {
		req := httptest.NewRequest(http.MethodPost, "http://localhost"+path, nil)
		req.RequestURI, req.Header, req.Host = "", header.Clone(), host
		if req.Header == nil {
			req.Header = http.Header{}
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		got[i] = resp.StatusCode
	}
	return got
}

// TestWho is the table of callers: Unix socket or TCP, by UID and by address.
func TestWho(t *testing.T) {
	const ok, no = http.StatusOK, http.StatusForbidden
	for _, c := range []struct {
		name, network, from string
		peers               fakePeers
		want                [3]int
	}{
		{"unix, ourselves", "unix", "", fakePeers{uid: ourUID}, [3]int{ok, ok, ok}},
		{"unix, root", "unix", "", fakePeers{uid: 0}, [3]int{ok, ok, ok}},
		{"unix, application", "unix", "", fakePeers{uid: 1000}, [3]int{ok, no, no}},
		{"unix, unknown", "unix", "", fakePeers{err: errors.New("x")}, [3]int{ok, no, no}},
		{"loopback, ourselves", "tcp4", "127.0.0.1", fakePeers{uid: ourUID}, [3]int{ok, ok, ok}},
		{"loopback, application", "tcp4", "127.0.0.1", fakePeers{uid: 1000}, [3]int{ok, ok, no}},
		{"loopback, root", "tcp4", "127.0.0.1", fakePeers{uid: 0}, [3]int{ok, ok, no}},
		{"loopback, unknown", "tcp4", "127.0.0.1", fakePeers{err: errors.New("x")}, [3]int{ok, ok, no}},
		{"other loopback address", "tcp4", "127.3.2.1", fakePeers{uid: ourUID}, [3]int{ok, ok, ok}},
		{"delivered by the proxy", "tcp4", "127.0.0.6", fakePeers{uid: ourUID}, [3]int{ok, no, no}},
		{"IPv6 loopback, ourselves", "tcp6", "::1", fakePeers{uid: ourUID}, [3]int{ok, ok, ok}},
		{"IPv6 loopback, application", "tcp6", "::1", fakePeers{uid: 1000}, [3]int{ok, ok, no}},
	} {
		t.Run(c.name, func(t *testing.T) {
			address := net.JoinHostPort(map[string]string{"tcp4": "127.0.0.1", "tcp6": "::1"}[c.network], "0")
			if c.network == "unix" {
				address = filepath.Join(t.TempDir(), "s")
			}
			l := listen(t, c.network, address)
			startGuarded(t, c.peers, l)
			dialer := net.Dialer{}
			if c.from != "" {
				dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(c.from)}
			}
			dial := func() (net.Conn, error) { return dialer.Dial(c.network, l.Addr().String()) }
			if got := codes(t, dial, nil, "localhost"); got != c.want {
				t.Errorf("codes %v, want %v", got, c.want)
			}
		})
	}
}

// TestForged is the table of the marks of a request that was made for somebody else.
func TestForged(t *testing.T) {
	const ok, no = http.StatusOK, http.StatusForbidden
	l := listen(t, "tcp4", "127.0.0.1:0")
	startGuarded(t, fakePeers{uid: ourUID}, l)
	dial := func() (net.Conn, error) { return net.Dial("tcp4", l.Addr().String()) }
	trusted, refused := [3]int{ok, ok, ok}, [3]int{ok, no, no}
	for _, c := range []struct {
		host, header string
		want         [3]int
	}{
		{"localhost", "", trusted},
		{"localhost:15020", "", trusted},
		{"127.0.0.1:15020", "", trusted},
		{"[::1]:15020", "", trusted},
		{"[::1]", "", trusted},
		{"evil.example", "", refused},
		{"10.0.0.1:15020", "", refused},
		{"localhost.evil.example", "", refused},
		{"localhost", "Origin", refused},
		{"localhost", "Sec-Fetch-Site", refused},
		{"localhost", "Forwarded", refused},
		{"localhost", "X-Forwarded-For", refused},
		{"localhost", "X-Envoy-Attempt-Count", refused},
		{"localhost", "Via", refused},
		{"localhost", "Accept-Language", trusted},
	} {
		header := http.Header{}
		if c.header != "" {
			header.Set(c.header, "x")
		}
		if got := codes(t, dial, header, c.host); got != c.want {
			t.Errorf("Host %s, header %q: codes %v, want %v", c.host, c.header, got, c.want)
		}
	}
}

func TestRefusalSaysWhy(t *testing.T) {
	var told string
	guard := &Guard{OwnUID: ourUID, Peers: fakePeers{uid: 1000}, OnRefused: func(_ *http.Request, why string) { told = why }}
	l := listen(t, "tcp4", "127.0.0.1:0")
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = Serve(ctx, l, guard.Require(Ourselves, func(http.ResponseWriter, *http.Request) {}), Limits{})
	}()
	resp, err := http.Post("http://"+l.Addr().String()+"/?format=json", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	cancel()
	<-done
	if want := "peer uid 1000, want 1337; use pillion-sidecar request"; told != want {
		t.Errorf("told %q, want %q", told, want)
	}
	if got := resp.Header.Get("Content-Type"); got != "application/json" {
		t.Errorf("the error is %s, JSON was asked for", got)
	}
}

func TestMethods(t *testing.T) {
	for _, c := range []struct {
		f      func(http.HandlerFunc) http.HandlerFunc
		method string
		code   int
	}{
		{Get, http.MethodGet, 200}, {Get, http.MethodHead, 200}, {Get, http.MethodPost, 405},
		{Post, http.MethodPost, 200}, {Post, http.MethodGet, 405}, {Post, http.MethodPut, 405},
	} {
		w := httptest.NewRecorder()
		c.f(func(w http.ResponseWriter, _ *http.Request) { Text(w, "OK") })(w, httptest.NewRequest(c.method, "/x", nil))
		if w.Code != c.code || (c.code == 405) != (w.Header().Get("Allow") != "") {
			t.Errorf("%s: %d, Allow %q", c.method, w.Code, w.Header().Get("Allow"))
		}
	}
}

// TestConnectionLimits: one peer can't take all connections, and those beyond are closed, not left waiting.
func TestConnectionLimits(t *testing.T) {
	l := limitConns(listen(t, "tcp4", "127.0.0.1:0"), Limits{Conns: 3, ConnsPerPeer: 2})
	defer l.Close()
	accepted := make(chan net.Conn, 8)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	dial := func(from string) net.Conn {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		c, err := d.Dial("tcp4", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	first := dial("127.0.0.1")
	kept := <-accepted
	dial("127.0.0.1")
	<-accepted
	expectClosed(t, dial("127.0.0.1")) // a third of this peer
	dial("127.0.0.2")
	<-accepted
	expectClosed(t, dial("127.0.0.2")) // a fourth of all
	first.Close()
	kept.Close()
	kept.Close() // twice must not free two places
	dial("127.0.0.1")
	<-accepted
	expectClosed(t, dial("127.0.0.1"))
}

func expectClosed(t *testing.T, c net.Conn) {
	t.Helper()
	if n, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read %d, %v, want a closed connection", n, err)
	}
}

func TestBodyAndHeaderLimits(t *testing.T) {
	l := listen(t, "tcp4", "127.0.0.1:0")
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = Serve(ctx, l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				w.WriteHeader(http.StatusRequestEntityTooLarge)
			}
		}), Limits{})
	}()
	defer func() { cancel(); <-done }()
	post := func(body int, header int) int {
		req, _ := http.NewRequest(http.MethodPost, "http://"+l.Addr().String(), strings.NewReader(strings.Repeat("x", body)))
		req.Header.Set("X", strings.Repeat("x", header))
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	if code := post(1<<20, 1<<10); code != 200 {
		t.Errorf("1 MiB: %d", code)
	}
	if code := post(1<<20+1, 0); code != http.StatusRequestEntityTooLarge {
		t.Errorf("more: %d", code)
	}
	if code := post(0, 32<<10); code != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("header: %d", code)
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
}
