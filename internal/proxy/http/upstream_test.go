package http

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/socket/sockettest"
)

// next reads a request of net/http's from a scripted server's connection; nil at its end.
func next(b *bufio.Reader) *http.Request {
	r, err := http.ReadRequest(b)
	if err != nil {
		return nil
	}
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	return r
}

const plainAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// TestReplay closes an idle connection as the next request comes: who may come twice comes again, on a new connection.
func TestReplay(t *testing.T) {
	for name, c := range map[string]struct {
		method string
		want   int
	}{"GET": {"GET", 200}, "PUT": {"PUT", 200}, "POST": {"POST", 503}} {
		t.Run(name, func(t *testing.T) {
			var conns atomic.Int32
			backend := scripted(t, func(conn net.Conn) {
				b := bufio.NewReader(conn)
				if first := conns.Add(1) == 1; next(b) != nil {
					_, _ = io.WriteString(conn, plainAnswer)
					if next(b) != nil && !first {
						_, _ = io.WriteString(conn, plainAnswer)
					}
				}
			})
			r := newRig(t, []string{backend}, nil)
			client := r.client()
			if answer, _ := r.do(client, "GET", "/", ""); answer.StatusCode != http.StatusOK {
				t.Fatal(answer.StatusCode)
			}
			body := ""
			if c.method != http.MethodGet {
				body = "abc"
			}
			answer, text := r.do(client, c.method, "/", body)
			if answer.StatusCode != c.want {
				t.Fatalf("%d %s", answer.StatusCode, text)
			}
			replayed := r.store.Cluster("backend").RqReplayed.Load()
			if (c.want == http.StatusOK) != (replayed == 1) {
				t.Errorf("%d replayed", replayed)
			}
			if c.want != http.StatusOK {
				r.logged("503 UC upstream_reset_before_response_started{connection_termination}")
			}
		})
	}
}

// TestIdleConnectionClosed: one that its host closed a while ago isn't used, POST or not.
func TestIdleConnectionClosed(t *testing.T) {
	backend := scripted(t, func(conn net.Conn) {
		b := bufio.NewReader(conn)
		if next(b) != nil {
			_, _ = io.WriteString(conn, plainAnswer)
		}
	})
	var past atomic.Int64
	r := newRig(t, []string{backend}, func(r *rig) {
		r.engine.opts.Now = func() time.Time { return time.Now().Add(time.Duration(past.Load())) }
	})
	client := r.client()
	r.do(client, "GET", "/", "")
	host, err := r.engine.opts.Upstreams.Cluster("backend").Pick(&choiceOfAny, nil)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return host.H1.Idle() <= 1 }, func() string { return "never idle" })
	past.Store(int64(2 * time.Second)) // and the host's FIN is here by the time the peek asks
	eventually(t, func() bool {
		answer, _ := r.do(client, "POST", "/", "abc")
		return answer.StatusCode == http.StatusOK
	}, func() string { return "no POST passed" })
}

// TestRetries answers 503 twice, then 200.
func TestRetries(t *testing.T) {
	for name, c := range map[string]struct {
		policy config.RetryPolicy
		body   string
		want   int
		log    string
	}{
		"enough":            {config.RetryPolicy{On: config.RetryGatewayError, Retries: 2, BaseInterval: time.Millisecond}, "", 200, "200 - via_upstream"},
		"with a body":       {config.RetryPolicy{On: config.RetryGatewayError, Retries: 2, BaseInterval: time.Millisecond}, "abc", 200, "200 - via_upstream 3 "},
		"with a large body": {config.RetryPolicy{On: config.RetryGatewayError, Retries: 2, BaseInterval: time.Millisecond}, strings.Repeat("x", 60<<10), 200, "200 - via_upstream 61440 "},
		"too large a body":  {config.RetryPolicy{On: config.RetryGatewayError, Retries: 2, BaseInterval: time.Millisecond}, strings.Repeat("x", 100<<10), 503, "503 - via_upstream 102400 "},
		"too few":           {config.RetryPolicy{On: config.RetryGatewayError, Retries: 1, BaseInterval: time.Millisecond}, "", 503, "503 URX via_upstream"},
		"another condition": {config.RetryPolicy{On: config.RetryConnectFailure, Retries: 2}, "", 503, "503 - via_upstream"},
	} {
		t.Run(name, func(t *testing.T) {
			var n atomic.Int32
			backend := served(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				if len(body) != len(c.body) {
					w.WriteHeader(http.StatusTeapot)
					return
				}
				if n.Add(1) <= 2 {
					w.WriteHeader(http.StatusServiceUnavailable)
				}
				fmt.Fprint(w, "body")
			})
			r := newRig(t, []string{backend}, func(r *rig) { r.route.Forward.Retry = &c.policy })
			answer, _ := r.do(r.client(), "POST", "/", c.body)
			if answer.StatusCode != c.want {
				t.Fatalf("got %d", answer.StatusCode)
			}
			r.logged(c.log)
		})
	}
}

// TestRetryAfterConnectFailure goes to another host.
func TestRetryAfterConnectFailure(t *testing.T) {
	backend := served(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	r := newRig(t, []string{"127.0.0.1:1", backend}, func(r *rig) {
		r.route.Forward.Retry = &config.RetryPolicy{On: config.RetryConnectFailure, Retries: 2, BaseInterval: time.Millisecond, PreviousHosts: true, HostAttempts: 10}
	})
	client := r.client()
	for range 20 {
		if answer, body := r.do(client, "GET", "/", ""); body != "ok" {
			t.Fatalf("%d %s", answer.StatusCode, body)
		}
	}
}

// TestUpstreamCutAtEachByte: wherever an answer breaks off, the client never takes it for whole.
func TestUpstreamCutAtEachByte(t *testing.T) {
	for name, whole := range map[string]string{
		"length":  "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789",
		"chunked": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			var cut atomic.Int32
			backend := scripted(t, func(conn net.Conn) {
				if next(bufio.NewReader(conn)) != nil {
					_, _ = io.WriteString(conn, whole[:cut.Load()])
					_ = conn.(*net.TCPConn).SetLinger(int(cut.Load() % 2)) // FIN or RST
				}
			})
			r := newRig(t, []string{backend}, nil)
			transport := &http.Transport{DisableKeepAlives: true}
			client := &http.Client{Transport: transport, Timeout: patient}
			for ; int(cut.Load()) < len(whole); cut.Add(1) {
				answer, err := client.Get("http://" + r.address + "/") //nolint:noctx // has a timeout
				if err != nil {
					continue // reset before its head: fine too
				}
				body, err := io.ReadAll(answer.Body)
				answer.Body.Close()
				if answer.StatusCode == http.StatusOK && err == nil {
					t.Fatalf("cut at %d: got %q as whole", cut.Load(), body)
				}
			}
			if answer, err := client.Get("http://" + r.address + "/"); err != nil { //nolint:noctx // has a timeout
				t.Fatal(err)
			} else {
				body, err := io.ReadAll(answer.Body)
				answer.Body.Close()
				if string(body) != "0123456789" || err != nil {
					t.Fatalf("%q, %v", body, err)
				}
			}
			transport.CloseIdleConnections()
		})
	}
}

// TestClientCutAtEachByte: wherever a request breaks off, nothing stays behind and no half of it counts as whole.
func TestClientCutAtEachByte(t *testing.T) {
	var whole atomic.Int32
	backend := served(t, func(w http.ResponseWriter, r *http.Request) {
		if body, err := io.ReadAll(r.Body); err == nil {
			whole.Add(1)
			fmt.Fprint(w, len(body))
		}
	})
	r := newRig(t, []string{backend}, nil)
	for _, request := range []string{
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n",
	} {
		for cut := range len(request) {
			conn := r.raw()
			_, _ = io.WriteString(conn, request[:cut])
			_ = conn.(*net.TCPConn).SetLinger(cut % 2)
			conn.Close()
		}
	}
	eventually(t, func() bool { return r.engine.Active() == 0 }, func() string { return fmt.Sprint(r.engine.Active(), " connections are left") })
	if n := whole.Load(); n != 0 {
		t.Errorf("%d halves were taken for whole", n)
	}
}

func TestTimeouts(t *testing.T) {
	silent := func(t *testing.T) string {
		return scripted(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
	}
	for name, c := range map[string]struct {
		change func(*rig)
		send   string
		want   string
		log    string
	}{
		"route": {
			func(r *rig) { r.route.Forward.Timeout = 30 * time.Millisecond }, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
			"upstream request timeout", "504 UT response_timeout",
		},
		"header": {
			nil, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nx-envoy-upstream-rq-timeout-ms: 30\r\n\r\n",
			"upstream request timeout", "504 UT response_timeout",
		},
		"per try": {
			func(r *rig) {
				r.route.Forward.Timeout = patient
				r.route.Forward.Retry = &config.RetryPolicy{On: config.Retry5xx, Retries: 2, PerTryTimeout: 20 * time.Millisecond, BaseInterval: time.Millisecond}
			}, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
			"upstream request timeout", "504 UT,URX upstream_per_try_timeout",
		},
		"silent stream": {
			func(r *rig) { r.cfg.StreamIdleTimeout = 150 * time.Millisecond }, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
			"stream timeout", "408 SI stream_idle_timeout",
		},
		"whole request": {
			func(r *rig) { r.cfg.RequestTimeout = 50 * time.Millisecond }, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab",
			"request timeout", "408 - request_overall_timeout",
		},
		"head": {
			func(r *rig) { r.cfg.RequestHeadersTimeout = 150 * time.Millisecond }, "GET / HTTP/1.1\r\nHo",
			"HTTP/1.1 408 ", "408 - request_header_timeout",
		},
		"stream duration": {
			func(r *rig) { r.cfg.MaxStreamDuration = 50 * time.Millisecond }, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
			"HTTP/1.1 408 ", "408 UMSDR max_duration_timeout",
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, []string{silent(t)}, c.change)
			if got := r.exchange(c.send); !strings.Contains(got, c.want) {
				t.Errorf("no %q in\n%s", c.want, got)
			}
			r.logged(c.log)
		})
	}
}

func TestIdleConnectionsAreClosed(t *testing.T) {
	r := newRig(t, nil, func(r *rig) { r.cfg.IdleTimeout = 100 * time.Millisecond })
	if got := r.exchange(""); got != "" {
		t.Errorf("got %q", got)
	}
}

// TestClientGone: an upstream that works for nobody is cut.
func TestClientGone(t *testing.T) {
	gone := make(chan struct{})
	backend := scripted(t, func(conn net.Conn) {
		_, _ = io.Copy(io.Discard, conn)
		close(gone)
	})
	r := newRig(t, []string{backend}, nil)
	conn := r.raw()
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	eventually(t, func() bool { return r.store.Cluster("backend").CxTotal.Load() == 1 }, func() string { return "no request" })
	conn.Close()
	select {
	case <-gone:
	case <-time.After(patient):
		t.Fatal("the upstream wasn't cut")
	}
	r.logged("0 DC downstream_remote_disconnect")
}

// TestEarlyAnswer: the answer comes before the body has ended, and says that the connection does.
func TestEarlyAnswer(t *testing.T) {
	backend := scripted(t, func(conn net.Conn) {
		b := bufio.NewReader(conn)
		for {
			line, err := b.ReadString('\n')
			if err != nil || line == "\r\n" {
				break
			}
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
		_, _ = io.Copy(io.Discard, conn)
	})
	r := newRig(t, []string{backend}, nil)
	conn := r.raw()
	_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nabc")
	text, err := io.ReadAll(conn)
	if err != nil || !strings.HasPrefix(string(text), "HTTP/1.1 413 ") || !strings.Contains(string(text), "connection: close") || !strings.HasSuffix(string(text), "big") {
		t.Errorf("%v\n%s", err, text)
	}
}

// TestFullDuplex: each piece of a body is answered before the next is sent.
func TestFullDuplex(t *testing.T) {
	backend := served(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		buf := make([]byte, 100)
		for {
			n, err := r.Body.Read(buf)
			_, _ = w.Write(bytes.ToUpper(buf[:n]))
			_ = http.NewResponseController(w).Flush()
			if err != nil {
				return
			}
		}
	})
	r := newRig(t, []string{backend}, nil)
	conn := r.raw()
	b := bufio.NewReader(conn)
	_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
	answer, err := http.ReadResponse(b, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	for _, word := range []string{"one", "two", "three"} {
		fmt.Fprintf(conn, "%x\r\n%s\r\n", len(word), word)
		got := make([]byte, len(word))
		if _, err := io.ReadFull(answer.Body, got); err != nil || string(got) != strings.ToUpper(word) {
			t.Fatalf("%q, %v", got, err)
		}
	}
	_, _ = io.WriteString(conn, "0\r\n\r\n")
	if rest, err := io.ReadAll(answer.Body); err != nil || len(rest) != 0 {
		t.Errorf("%q, %v", rest, err)
	}
}

func TestTrailersPassBothWays(t *testing.T) {
	backend := served(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Trailer", "X-Sum")
		fmt.Fprintf(w, "got %s", r.Trailer.Get("X-Ask"))
		w.Header().Set("X-Sum", "7")
	})
	r := newRig(t, []string{backend}, nil)
	got := r.exchange("POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTrailer: X-Ask\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n0\r\nX-Ask: 6\r\n\r\n")
	if !strings.Contains(got, "got 6") || !strings.Contains(got, "x-sum: 7\r\n\r\n") {
		t.Errorf("got\n%s", got)
	}
}

func TestContinue(t *testing.T) {
	backend := served(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %q", body, r.Header.Get("Expect"))
	})
	for name, pass := range map[string]bool{"here": false, "upstream": true} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, []string{backend}, func(r *rig) { r.cfg.Proxy100Continue = pass })
			conn := r.raw()
			b := bufio.NewReader(conn)
			_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\nConnection: close\r\n\r\n")
			line, err := b.ReadString('\n')
			if err != nil || line != "HTTP/1.1 100 Continue\r\n" {
				t.Fatalf("%q, %v", line, err)
			}
			_, _ = io.WriteString(conn, "abc")
			rest, _ := io.ReadAll(b)
			want := `abc ""`
			if pass {
				want = `abc "100-continue"`
			}
			if !strings.HasSuffix(string(rest), want) {
				t.Errorf("no %s in\n%s", want, rest)
			}
		})
	}
}

// TestHeadAndBodiless: HEAD, 204 and 304 have no body, and the connection goes on behind them.
func TestHeadAndBodiless(t *testing.T) {
	backend := served(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/204":
			w.WriteHeader(http.StatusNoContent)
		case "/304":
			w.WriteHeader(http.StatusNotModified)
		default:
			w.Header().Set("Content-Length", "5")
			fmt.Fprint(w, "hello")
		}
	})
	r := newRig(t, []string{backend}, nil)
	client := r.client()
	for range 2 {
		if answer, body := r.do(client, "HEAD", "/", ""); body != "" || answer.ContentLength != 5 {
			t.Errorf("HEAD: %q, %d", body, answer.ContentLength)
		}
		for _, path := range []string{"/204", "/304", "/"} {
			if answer, _ := r.do(client, "GET", path, ""); answer.StatusCode == 0 {
				t.Error(path)
			}
		}
	}
	if n := r.store.Cluster("backend").CxTotal.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// TestOldClients: HTTP/1.0 gets bodies without chunks, and no connection longer than it asks for.
func TestOldClients(t *testing.T) {
	backend := served(t, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "one")
		_ = http.NewResponseController(w).Flush()
		fmt.Fprint(w, "two")
	})
	r := newRig(t, []string{backend}, nil)
	got := r.exchange("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
	if !strings.HasSuffix(got, "\r\n\r\nonetwo") || strings.Contains(got, "chunked") || !strings.Contains(got, "connection: close") {
		t.Errorf("got\n%s", got)
	}
}

// TestUntilClose: an answer without length reaches HTTP/1.1 in chunks.
func TestUntilClose(t *testing.T) {
	backend := scripted(t, func(conn net.Conn) {
		if next(bufio.NewReader(conn)) != nil {
			_, _ = io.WriteString(conn, "HTTP/1.0 200 OK\r\n\r\nall of it")
		}
	})
	r := newRig(t, []string{backend}, nil)
	if answer, body := r.do(r.client(), "GET", "/", ""); body != "all of it" || answer.Close {
		t.Errorf("%q, %v", body, answer.Close)
	}
}

func TestUpgrade(t *testing.T) {
	backend := scripted(t, func(conn net.Conn) {
		b := bufio.NewReader(conn)
		r, err := http.ReadRequest(b)
		if err != nil || r.Header.Get("Upgrade") != "WebSocket" || !strings.EqualFold(r.Header.Get("Connection"), "upgrade") {
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\nhello")
		_, _ = io.Copy(conn, b)
		_, _ = io.WriteString(conn, "bye")
	})
	r := newRig(t, []string{backend}, nil)
	conn := r.raw()
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\r\nearly")
	var sent bytes.Buffer
	sent.WriteString("early")
	var all sync.WaitGroup
	all.Go(func() {
		for i := range 200 {
			piece := bytes.Repeat([]byte{byte(i)}, 1000)
			sent.Write(piece)
			_, _ = conn.Write(piece)
		}
		_ = conn.(*net.TCPConn).CloseWrite()
	})
	b := bufio.NewReader(conn)
	answer, err := http.ReadResponse(b, nil)
	if err != nil || answer.StatusCode != http.StatusSwitchingProtocols || answer.Header.Get("Upgrade") != "WebSocket" {
		t.Fatal(answer, err)
	}
	got, err := io.ReadAll(b)
	all.Wait()
	if want := "hello" + sent.String() + "bye"; err != nil || string(got) != want {
		t.Errorf("%v: %d bytes, want %d", err, len(got), len(want))
	}
	r.logged("101 - via_upstream")
}

func TestUpgradeRefusedByUpstream(t *testing.T) {
	backend := served(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	r := newRig(t, []string{backend}, nil)
	got := r.exchange("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	if strings.Count(got, "HTTP/1.1 403 ") != 2 {
		t.Errorf("got\n%s", got)
	}
}

func TestMirror(t *testing.T) {
	seen := make(chan string, 10)
	shadow := served(t, func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		seen <- fmt.Sprintf("%s %s %s", r.Host, r.URL, body)
	})
	backend := served(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	r := newRig(t, []string{backend}, func(r *rig) {
		r.extra = append(r.extra, cluster("shadow", shadow))
		r.route.Forward.Mirrors = []*config.Mirror{{Cluster: "shadow"}}
	})
	if _, body := r.do(r.client(), "POST", "/a", "abc"); body != "ok" {
		t.Fatal(body)
	}
	if got := <-seen; !strings.HasPrefix(got, sockettest.Loopback().String()+"-shadow:") || !strings.HasSuffix(got, " /a abc") {
		t.Errorf("mirrored %q", got)
	}
}

// TestDrain: answers say that the connection ends, idle connections are closed, work is finished.
func TestDrain(t *testing.T) {
	backend := served(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	r := newRig(t, []string{backend}, nil)
	client := r.client()
	if answer, _ := r.do(client, "GET", "/", ""); answer.Close {
		t.Error("closed before")
	}
	r.engine.Drain(true, 0)
	if answer, _ := r.do(client, "GET", "/", ""); answer.Close {
		t.Error("closed while inbound listeners drain, and this isn't one")
	}
	r.engine.Drain(false, 0)
	if answer, _ := r.do(client, "GET", "/", ""); !answer.Close {
		t.Error("not closed while draining")
	}
}

func TestRequestsPerConnection(t *testing.T) {
	backend := served(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	r := newRig(t, []string{backend}, func(r *rig) { r.cfg.MaxRequests = 2 })
	client := r.client()
	for i := range 4 {
		if answer, _ := r.do(client, "GET", "/", ""); answer.Close != (i%2 == 1) {
			t.Errorf("request %d: close %v", i, answer.Close)
		}
	}
}

// TestBadAnswers: what an upstream may not say is 502.
func TestBadAnswers(t *testing.T) {
	for name, answer := range map[string]string{
		"both lengths":    "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
		"101 unasked":     "HTTP/1.1 101 Switching Protocols\r\n\r\n",
		"control byte":    "HTTP/1.1 200 OK\r\nX: \x01\r\n\r\n",
		"bad status":      "HTTP/1.1 2000 OK\r\n\r\n",
		"not HTTP":        "220 mail ESMTP\r\n",
		"large head":      "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 61<<10) + "\r\n\r\n",
		"another version": "HTTP/2.0 200 OK\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			backend := scripted(t, func(conn net.Conn) {
				if next(bufio.NewReader(conn)) != nil {
					_, _ = io.WriteString(conn, answer)
					_, _ = io.Copy(io.Discard, conn)
				}
			})
			r := newRig(t, []string{backend}, nil)
			if answer, _ := r.do(r.client(), "GET", "/", ""); answer.StatusCode != http.StatusBadGateway {
				t.Errorf("got %d", answer.StatusCode)
			}
			r.logged("502 UPE upstream_reset_before_response_started{protocol_error}")
		})
	}
}

// TestBytesNobodyAskedFor: a connection with bytes behind the answer isn't used again.
func TestBytesNobodyAskedFor(t *testing.T) {
	var conns atomic.Int32
	backend := scripted(t, func(conn net.Conn) {
		conns.Add(1)
		b := bufio.NewReader(conn)
		for next(b) != nil {
			_, _ = io.WriteString(conn, plainAnswer+"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
		}
	})
	r := newRig(t, []string{backend}, nil)
	client := r.client()
	for range 3 {
		if _, body := r.do(client, "GET", "/", ""); body != "ok" {
			t.Fatal(body)
		}
	}
	if conns.Load() != 3 {
		t.Errorf("%d connections", conns.Load())
	}
}

// TestWaitsForConnection: with one connection allowed, requests wait for it in turn.
func TestWaitsForConnection(t *testing.T) {
	backend := served(t, func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(time.Millisecond)
		fmt.Fprint(w, "ok")
	})
	r := newRig(t, []string{backend}, func(r *rig) { r.breaker = &config.Breaker{Connections: 1, Pending: 100, Requests: 100} })
	var all sync.WaitGroup
	for range 10 {
		client := r.client()
		all.Go(func() {
			for range 5 {
				if answer, _ := r.do(client, "GET", "/", ""); answer.StatusCode != http.StatusOK {
					t.Error(answer.StatusCode)
				}
			}
		})
	}
	all.Wait()
	if n := r.store.Cluster("backend").CxTotal.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// TestNothingStaysBehind: connections of all kinds come and go, then goroutines and descriptors are as before.
func TestNothingStaysBehind(t *testing.T) {
	check := settled(t)
	t.Run("traffic", func(t *testing.T) {
		backend := served(t, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			_, _ = w.Write(body)
		})
		r := newRig(t, []string{backend}, nil)
		var all sync.WaitGroup
		for i := range 20 {
			client := r.client()
			all.Go(func() {
				for range 5 {
					body := strings.Repeat("x", i*1000)
					if _, got := r.do(client, "POST", "/", body); got != body {
						t.Errorf("%d bytes, want %d", len(got), len(body))
					}
				}
			})
		}
		all.Wait()
	})
	check()
}

// TestClientThatEndsWithItsRequest: its end comes with the bytes of the request, and nothing else wakes the connection.
func TestClientThatEndsWithItsRequest(t *testing.T) {
	backend := served(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	r := newRig(t, []string{backend}, nil)
	conn := r.raw()
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	_ = conn.(*net.TCPConn).CloseWrite()
	if text, err := io.ReadAll(conn); err != nil || !strings.HasSuffix(string(text), "ok") {
		t.Errorf("%q, %v", text, err)
	}
}
