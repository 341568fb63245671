package http

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// tunnelled makes the rig's route take CONNECT and end it here.
func tunnelled(r *rig) {
	r.route.Match = config.RouteMatch{Kind: config.PathConnect}
	r.route.Forward.Upgrades = map[string]bool{"connect": true}
	r.route.Forward.Connect = &config.Connect{}
}

// forwarded makes the rig's route take CONNECT and pass it on.
func forwarded(r *rig) {
	tunnelled(r)
	r.route.Forward.Connect = nil
}

// talker is a server of bytes: it greets, echoes, and says goodbye when the client has ended its side.
func talker(t testing.TB) string {
	return scripted(t, func(conn net.Conn) {
		_, _ = io.WriteString(conn, "hello ")
		_, _ = io.Copy(conn, conn)
		_, _ = io.WriteString(conn, " bye")
	})
}

// pipe is a tunnel as its client has it.
type pipe interface {
	io.ReadWriter
	CloseWrite() error
}

// connect opens a tunnel over HTTP/1.1.
func (r *rig) connect() (net.Conn, *bufio.Reader, *http.Response) {
	r.t.Helper()
	conn := r.raw()
	_, _ = io.WriteString(conn, "CONNECT far:80 HTTP/1.1\r\nHost: far:80\r\n\r\n")
	b := bufio.NewReader(conn)
	answer, err := http.ReadResponse(b, &http.Request{Method: http.MethodConnect})
	if err != nil {
		r.t.Fatal(err)
	}
	return conn, b, answer
}

type h1Pipe struct {
	net.Conn
	b *bufio.Reader
}

func (p h1Pipe) Read(b []byte) (int, error) { return p.b.Read(b) }
func (p h1Pipe) CloseWrite() error          { return p.Conn.(*net.TCPConn).CloseWrite() }

type h2Pipe struct {
	io.Reader
	*io.PipeWriter
}

func (p h2Pipe) CloseWrite() error { return p.Close() }

// open opens a tunnel over either version, and returns it with the answer's status.
func (r *rig) open(codec config.Codec) (pipe, int) {
	r.t.Helper()
	if codec == config.CodecHTTP1 {
		conn, b, answer := r.connect()
		return h1Pipe{conn, b}, answer.StatusCode
	}
	out, in := io.Pipe()
	ctx, cancel := context.WithTimeout(context.Background(), patient)
	r.t.Cleanup(cancel)
	answer, err := r.h2Client().Transport.RoundTrip((&http.Request{
		Method: http.MethodConnect, URL: &url.URL{Scheme: "http", Host: r.address}, Host: "far:80", Header: http.Header{}, Body: out,
	}).WithContext(ctx))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { answer.Body.Close() })
	return h2Pipe{answer.Body, in}, answer.StatusCode
}

// through sends a MiB through a tunnel to a talker and asserts what comes back.
func through(t *testing.T, p pipe) {
	t.Helper()
	sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	var all sync.WaitGroup
	all.Go(func() {
		if _, err := p.Write(sent); err != nil {
			t.Error(err)
		}
		if err := p.CloseWrite(); err != nil {
			t.Error(err)
		}
	})
	got, err := io.ReadAll(p)
	all.Wait()
	if want := "hello " + string(sent) + " bye"; err != nil || string(got) != want {
		t.Errorf("%v: %d bytes, want %d", err, len(got), len(want))
	}
}

var codecs = map[string]config.Codec{"1.1": config.CodecHTTP1, "2": config.CodecHTTP2}

// The bytes of a tunnel that ends here come behind a header that says whose they are, if that is configured.
func TestConnectIntroduces(t *testing.T) {
	for name, codec := range codecs {
		t.Run(name, func(t *testing.T) {
			told := make(chan string, 1)
			host := scripted(t, func(conn net.Conn) {
				line, _ := bufio.NewReader(conn).ReadString('\n')
				told <- line
			})
			r := newRig(t, []string{host}, func(r *rig) {
				tunnelled(r)
				r.cfg.Codec = codec
				r.route.Forward.Connect.Header = &config.ProxyHeader{}
			})
			if _, status := r.open(codec); status != http.StatusOK {
				t.Fatal(status)
			}
			_, port, _ := net.SplitHostPort(r.address)
			if got := <-told; !strings.HasPrefix(got, "PROXY TCP4 127.") || !strings.HasSuffix(got, " "+port+"\r\n") {
				t.Errorf("told %q", got)
			}
		})
	}
}

// The body of a POST goes to the host as it is, and what comes back is the answer's, if the route allows that.
func TestPostEndsHere(t *testing.T) {
	for name, codec := range codecs {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, []string{talker(t)}, func(r *rig) {
				r.cfg.Codec = codec
				r.route.Forward.Connect = &config.Connect{Post: true}
			})
			client := r.client()
			if codec == config.CodecHTTP2 {
				client = r.h2Client()
			}
			sent := strings.Repeat("0123456789abcdef", 1<<16)
			answer, got := r.do(client, http.MethodPost, "/", sent)
			if answer.StatusCode != http.StatusOK || got != "hello "+sent+" bye" {
				t.Errorf("%d, %d bytes", answer.StatusCode, len(got))
			}
			r.logged("200 - via_upstream 1048576 1048586")
		})
	}
}

// Only what the route says ends here: another request's head would be bytes that nobody expects.
func TestOtherMethodsPass(t *testing.T) {
	backend := served(t, func(w http.ResponseWriter, q *http.Request) { fmt.Fprint(w, q.Method) })
	for method, post := range map[string]bool{"POST": false, "PUT": true, "GET": true} {
		r := newRig(t, []string{backend}, func(r *rig) { r.route.Forward.Connect = &config.Connect{Post: post} })
		if _, got := r.do(r.client(), method, "/", "x"); got != method {
			t.Errorf("%s: %q", method, got)
		}
	}
}

// A CONNECT ends here: its bytes go to the cluster's host, both ways to the end of each.
func TestConnectEndsHere(t *testing.T) {
	for name, codec := range codecs {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, []string{talker(t)}, func(r *rig) { tunnelled(r); r.cfg.Codec = codec })
			p, status := r.open(codec)
			if status != http.StatusOK {
				t.Fatal(status)
			}
			through(t, p)
			r.logged("200 - via_upstream 1048576 1048586")
			if moved := r.store.Server.SplicedBytes.Load(); (moved > 0) != (codec == config.CodecHTTP1) {
				t.Errorf("%d bytes were moved inside the kernel", moved)
			}
			if n := r.store.HTTP("test").CxUpgrades.Load(); n != 1 {
				t.Errorf("%d upgrades", n)
			}
			stats := r.manager.Cluster("backend").Stats
			eventually(t, func() bool { return stats.CxActive.Load() == 0 }, func() string { return "the connection isn't closed" })
			if stats.TxBytes.Load() != 1048576 || stats.RxBytes.Load() != 1048586 {
				t.Errorf("counted %d and %d bytes", stats.TxBytes.Load(), stats.RxBytes.Load())
			}
		})
	}
}

// A CONNECT is passed on to a proxy that ends it, by all versions.
func TestConnectForwarded(t *testing.T) {
	for in, codec := range codecs {
		for out, between := range codecs {
			t.Run(in+" to "+out, func(t *testing.T) {
				far := newRig(t, []string{talker(t)}, func(r *rig) { tunnelled(r); r.cfg.Codec = between })
				r := newRig(t, []string{far.address}, func(r *rig) {
					forwarded(r)
					r.cfg.Codec = codec
					if between == config.CodecHTTP2 {
						r.protocol = config.UpstreamHTTP2
					}
				})
				p, status := r.open(codec)
				if status != http.StatusOK {
					t.Fatal(status)
				}
				through(t, p)
				r.logged("200 - via_upstream 1048576 1048586")
				far.logged("200 - via_upstream 1048576 1048586")
			})
		}
	}
}

// TestConnectRefused has an answer for each CONNECT that opens no tunnel.
func TestConnectRefused(t *testing.T) {
	silent := scripted(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
	for name, c := range map[string]struct {
		hosts  []string
		change func(*rig)
		want   string
		log    string
	}{
		"no route":       {nil, nil, "404", "404 NR route_not_found"},
		"not configured": {nil, func(r *rig) { tunnelled(r); r.route.Forward.Upgrades = nil }, "403", "403 - upgrade_failed"},
		"switched off": {nil, func(r *rig) {
			tunnelled(r)
			r.route.Forward.Upgrades["connect"] = false
			r.cfg.Upgrades["connect"] = true
		}, "403", "403 - upgrade_failed"},
		"no host":          {nil, tunnelled, "503", "503 UH no_healthy_upstream"},
		"nobody listens":   {[]string{"127.0.0.1:1"}, tunnelled, "503", "503 UF upstream_reset_before_response_started{remote_connection_failure|"},
		"own port":         {[]string{"127.0.0.1:15000"}, tunnelled, "503", "503 NC cluster_not_found"},
		"too many":         {[]string{silent}, func(r *rig) { tunnelled(r); r.breaker = &config.Breaker{Requests: 10} }, "503", "503 UO upstream_reset_before_response_started{overflow}"},
		"refused upstream": {[]string{served(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })}, forwarded, "418", "418 - via_upstream"},
		"no answer": {[]string{silent}, func(r *rig) { forwarded(r); r.route.Forward.Timeout = 100 * time.Millisecond },
			"504", "504 UT response_timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			for version, codec := range codecs {
				r := newRig(t, c.hosts, func(r *rig) {
					if c.change != nil {
						c.change(r)
					}
					r.cfg.Codec = codec
				})
				if _, status := r.open(codec); fmt.Sprint(status) != c.want {
					t.Errorf("HTTP/%s: %d", version, status)
				}
				r.logged(c.log)
			}
		})
	}
}

// TestConnectMalformed: CONNECT must say which port it means, and has no body.
func TestConnectMalformed(t *testing.T) {
	r := newRig(t, []string{talker(t)}, tunnelled)
	for request, want := range map[string]string{
		"CONNECT far HTTP/1.1\r\nHost: far\r\n\r\n":                                "400 DPE connect_without_port",
		"CONNECT far:0 HTTP/1.1\r\nHost: far\r\n\r\n":                              "400 DPE connect_without_port",
		"CONNECT far:99999 HTTP/1.1\r\nHost: far\r\n\r\n":                          "400 DPE connect_without_port",
		"CONNECT /far:80 HTTP/1.1\r\nHost: far\r\n\r\n":                            "400 DPE http1.invalid_host",
		"CONNECT far:80 HTTP/1.1\r\nHost: far\r\nContent-Length: 1\r\n\r\nx":       "400 DPE http1.body_disallowed",
		"CONNECT far:80 HTTP/1.1\r\nHost: f\r\nTransfer-Encoding: chunked\r\n\r\n": "400 DPE http1.body_disallowed",
	} {
		if got := r.exchange(request); !strings.HasPrefix(got, "HTTP/1.1 400 ") {
			t.Errorf("%q: %q", request, got)
		}
		r.logged(want)
	}
}

// TestConnectTooEager: what a client sends before it has its answer is no request if the answer is no, and reaches nobody.
func TestConnectTooEager(t *testing.T) {
	var got atomic.Int64
	backend := served(t, func(w http.ResponseWriter, _ *http.Request) {
		got.Add(1)
		w.WriteHeader(http.StatusForbidden)
	})
	r := newRig(t, []string{backend}, forwarded)
	answer := r.exchange("CONNECT far:80 HTTP/1.1\r\nHost: far:80\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
	if strings.Count(answer, "HTTP/1.1 ") != 1 || !strings.Contains(answer, "connection: close") || got.Load() != 1 {
		t.Errorf("%d requests\n%s", got.Load(), answer)
	}
}

// TestConnectBroken: a connection that is reset ends the tunnel with a reset on the other side.
func TestConnectBroken(t *testing.T) {
	abort := func(conn net.Conn) { _ = conn.(*net.TCPConn).SetLinger(0); conn.Close() }
	t.Run("upstream", func(t *testing.T) {
		for _, codec := range codecs {
			backend := scripted(t, func(conn net.Conn) {
				_, _ = io.ReadFull(conn, make([]byte, 4))
				abort(conn)
			})
			r := newRig(t, []string{backend}, func(r *rig) { tunnelled(r); r.cfg.Codec = codec })
			p, _ := r.open(codec)
			_, _ = io.WriteString(p, "ping")
			_, err := io.ReadAll(p)
			var reset http2.StreamError
			if !errors.Is(err, syscall.ECONNRESET) && !(errors.As(err, &reset) && reset.Code == http2.ErrCodeConnect) {
				t.Errorf("codec %v: %v", codec, err)
			}
			r.logged("200 UC upstream_reset_after_response_started{connection_termination}")
		}
	})
	t.Run("client", func(t *testing.T) {
		ended := make(chan error, 1)
		backend := scripted(t, func(conn net.Conn) {
			_, _ = io.WriteString(conn, "hello")
			_, err := io.ReadAll(conn)
			ended <- err
		})
		r := newRig(t, []string{backend}, tunnelled)
		conn, b, _ := r.connect()
		_, _ = io.ReadFull(b, make([]byte, 5))
		abort(conn)
		if err := <-ended; !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the upstream ended with %v", err)
		}
		r.logged("200 DC downstream_remote_disconnect")
	})
}

// TestMovedTunnelEnds: a tunnel whose bytes the kernel moves ends as others do: reset by either side, or silent for too long;
// all that went through is in the log, and no pipe is left.
func TestMovedTunnelEnds(t *testing.T) {
	const size = 1 << 20
	for name, c := range map[string]struct {
		idle   time.Duration
		client func(*net.TCPConn)
		host   func(*net.TCPConn)
		want   string
	}{
		"the client resets": {time.Hour, func(c *net.TCPConn) { _ = c.SetLinger(0); c.Close() }, nil, "DC downstream_remote_disconnect"},
		"the host resets":   {time.Hour, nil, func(c *net.TCPConn) { _ = c.SetLinger(0) }, "UC upstream_reset_after_response_started{connection_termination}"},
		"it is silent":      {200 * time.Millisecond, nil, nil, "SI stream_idle_timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			over, ended := make(chan struct{}), make(chan struct{})
			host := scripted(t, func(conn net.Conn) {
				_, _ = io.CopyN(conn, conn, size)
				<-over
				if c.host != nil {
					c.host(conn.(*net.TCPConn))
					return
				}
				_, _ = io.Copy(io.Discard, conn)
				close(ended)
			})
			r := newRig(t, []string{host}, func(r *rig) { tunnelled(r); r.cfg.StreamIdleTimeout = c.idle })
			first := r.raw() // has the logs opened, and whatever else there is but once
			_, _ = io.WriteString(first, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
			_, _ = io.ReadAll(first)
			first.Close()
			r.logged("404 NR")
			check := settled(t)
			conn, b, _ := r.connect()
			var sending sync.WaitGroup
			sending.Go(func() { _, _ = conn.Write(make([]byte, size)) })
			if _, err := io.CopyN(io.Discard, b, size); err != nil {
				t.Fatal(err)
			}
			sending.Wait()
			close(over)
			if c.client != nil {
				c.client(conn.(*net.TCPConn))
			} else if _, err := b.ReadByte(); err == nil {
				t.Error("a byte after all")
			}
			if c.host == nil {
				<-ended
			}
			r.logged(fmt.Sprintf("200 %s %d %d", c.want, size, size))
			if moved := r.store.Server.SplicedBytes.Load(); moved == 0 {
				t.Error("nothing was moved inside the kernel")
			}
			conn.Close()
			r.engine.pipes.Close()
			check()
		})
	}
}

// TestConnectSilent: a tunnel nothing goes through ends after stream_idle_timeout, also when one side has ended already.
func TestConnectSilent(t *testing.T) {
	for name, backend := range map[string]func(net.Conn){
		"both open": func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) },
		"half closed": func(conn net.Conn) {
			_ = conn.(*net.TCPConn).CloseWrite()
			_, _ = io.Copy(io.Discard, conn)
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, codec := range codecs {
				r := newRig(t, []string{scripted(t, backend)}, func(r *rig) {
					tunnelled(r)
					r.cfg.Codec, r.cfg.StreamIdleTimeout = codec, 200*time.Millisecond
				})
				r.open(codec)
				r.logged(" SI stream_idle_timeout")
			}
		})
	}
}
