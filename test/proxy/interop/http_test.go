package interop

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/pillion-mesh/pillion/test/proxy/rig"
)

// origin is a backend that notes the bytes of each request and answers with what the test says.
type origin struct {
	answer string
	mu     sync.Mutex
	seen   []string
}

func (o *origin) serve(c *net.TCPConn) {
	var raw strings.Builder
	b := bufio.NewReader(io.TeeReader(c, &raw))
	for {
		before := raw.Len() - b.Buffered()
		r, err := http.ReadRequest(b)
		if err != nil {
			return
		}
		_, err = io.Copy(io.Discard, r.Body)
		if err != nil {
			return
		}
		o.mu.Lock()
		o.seen = append(o.seen, raw.String()[before:raw.Len()-b.Buffered()])
		o.mu.Unlock()
		answer := o.answer
		if r.URL.Path == "/end" {
			answer = ok
		}
		if _, err := io.WriteString(c, answer); err != nil || strings.Contains(answer, "nnection: close") {
			return
		}
	}
}

func (o *origin) all() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Join(o.seen, "|")
}

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// TestConformance sends raw requests through one proxy, and through two that speak HTTP/2 with each other. A want that
// begins with "!" mustn't be there; letters' case doesn't count.
func TestConformance(t *testing.T) {
	for name, c := range map[string]struct {
		send, answer string
		client       []string // wanted in what the client gets
		backend      []string // wanted in what the backend gets
	}{
		"HTTP/1.0": {
			"GET / HTTP/1.0\r\nHost: a\r\n\r\n", ok,
			[]string{"HTTP/1.1 200 OK\r\n", "content-length: 2\r\n", "connection: close\r\n", "\r\n\r\nok"},
			[]string{"GET / HTTP/1.1\r\n", "host: a\r\n"},
		},
		"HTTP/1.0 kept alive": {
			"GET /1 HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\nGET /2 HTTP/1.0\r\nHost: a\r\n\r\n", ok,
			[]string{"connection: keep-alive\r\n", "ok" + "HTTP/1.1 200 OK\r\n"}, []string{"GET /1 ", "|GET /2 "},
		},
		"HTTP/1.0 without length": {
			"GET / HTTP/1.0\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
			[]string{"!transfer-encoding", "!chunked", "connection: close\r\n", "\r\n\r\nok"}, nil,
		},
		"pipelined": {
			"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcHEAD /3 HTTP/1.1\r\nHost: a\r\n\r\nGET /4 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /5 HTTP/1.1\r\nHost: a\r\n\r\n",
			"HTTP/1.1 204 No Content\r\n\r\n", []string{"connection: close\r\n"},
			[]string{"GET /1 ", "|POST /2 ", "\r\n\r\nabc|HEAD /3 ", "|GET /4 ", "!GET /5"},
		},
		"204 with a length": {
			"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
			[]string{"!content-length: 5", "\r\n\r\nHTTP/1.1 204 "}, []string{"GET /2 "},
		},
		"304 with a length": {
			"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: x\r\n\r\n",
			[]string{"content-length: 5\r\n", "etag: x\r\n", "\r\n\r\nHTTP/1.1 304 "}, []string{"GET /2 "},
		},
		"HEAD": {
			"HEAD / HTTP/1.1\r\nHost: a\r\n\r\nHEAD /2 HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n",
			[]string{"content-length: 1234\r\n", "\r\n\r\nHTTP/1.1 200 "}, []string{"HEAD / ", "|HEAD /2 "},
		},
		"HEAD of chunks": {
			"HEAD / HTTP/1.1\r\nHost: a\r\n\r\nHEAD /2 HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
			[]string{"!content-length: 0", "\r\n\r\nHTTP/1.1 200 "}, []string{"|HEAD /2 "},
		},
		"chunks": {
			"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3;ext=\"a b\"\r\nabc\r\n00a;x\r\n0123456789\r\n0;last\r\nX-Sum: 13\r\nContent-Length: 1\r\nAuthorization: x\r\n\r\n",
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;e=1\r\nok\r\n0\r\nX-Answer: 42\r\nContent-Length: 7\r\n\r\n",
			[]string{"transfer-encoding: chunked\r\n", "ok\r\n0\r\nx-answer: 42\r\n\r\n", "!content-length: 7", "!e=1"},
			[]string{"transfer-encoding: chunked\r\n", "abc", "0123456789", "\r\n0\r\nx-sum: 13\r\n\r\n", "!ext", "!last", "!content-length", "!authorization"},
		},
		"no length in the answer": {
			"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok",
			[]string{"transfer-encoding: chunked\r\n", "2\r\nok\r\n0\r\n\r\nHTTP/1.1 200 OK"}, []string{"GET /2"},
		},
		"1xx": {
			"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + ok,
			[]string{"HTTP/1.1 102 ", "HTTP/1.1 103 Early Hints\r\n", "link: </x>\r\n", "!HTTP/1.1 100", "\r\n\r\nHTTP/1.1 200 OK\r\n"}, nil,
		},
		"1xx to HTTP/1.0": {
			"GET / HTTP/1.0\r\nHost: a\r\n\r\n", "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + ok, []string{"!103", "HTTP/1.1 200 OK\r\n", "!link"}, nil,
		},
		"te": {
			"GET / HTTP/1.1\r\nHost: a\r\nTE: gzip;q=0.5, trailers\r\nConnection: TE\r\n\r\n", ok, nil, []string{"te: trailers\r\n", "!gzip"},
		},
		"te without trailers": {
			"GET / HTTP/1.1\r\nHost: a\r\nTE: gzip\r\nConnection: TE\r\n\r\n", ok, nil, []string{"!te:", "!gzip"},
		},
		"hop by hop": {
			"GET / HTTP/1.1\r\nHost: a\r\nConnection: X-Mine, keep-alive\r\nX-Mine: 1\r\nX-Mine: 2\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\nX-Theirs: 3\r\n\r\n",
			"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: X-Back\r\nX-Back: 1\r\nKeep-Alive: timeout=50\r\nX-Other: 2\r\n\r\nok",
			[]string{"!x-back", "!keep-alive", "x-other: 2\r\n"}, []string{"!x-mine", "!keep-alive", "!proxy-connection", "x-theirs: 3\r\n"},
		},
		"absolute form": {
			"GET http://b:80/x?y HTTP/1.1\r\nHost: a\r\n\r\n", ok, nil, []string{"GET /x?y HTTP/1.1\r\n", "host: b:80\r\n", "!host: a"},
		},
		"OPTIONS *": {
			"OPTIONS * HTTP/1.1\r\nHost: a\r\nMax-Forwards: 5\r\n\r\n", ok, []string{"HTTP/1.1 404 "}, nil, // as Envoy: no prefix is one of *
		},
		"many fields of a name": {
			"GET / HTTP/1.1\r\nHost: a\r\nAccept: b\r\nAccept: c\r\nCookie: d=1\r\nX-Empty:\r\nX-High: \xe4\xff\r\n\r\n",
			"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nSet-Cookie: a=1, b\r\nSet-Cookie: c=2\r\nX-High: \xe4\xff\r\n\r\nok",
			[]string{"set-cookie: a=1, b\r\nset-cookie: c=2\r\n", "x-high: \xe4\xff\r\n"},
			[]string{"accept: b\r\naccept: c\r\n", "cookie: d=1\r\n", "x-empty: \r\n", "x-high: \xe4\xff\r\n"},
		},
		"empty body": {
			"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nDELETE /3 HTTP/1.1\r\nHost: a\r\n\r\n", ok,
			[]string{"okHTTP/1.1 200 OK"}, []string{"POST / ", "content-length: 0\r\n", "|POST /2 ", "|DELETE /3 "},
		},
		"unknown method and reason": {
			"BREW /pot HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx", "HTTP/1.1 299 Fine by me\r\nContent-Length: 2\r\n\r\nok",
			[]string{"HTTP/1.1 299 "}, []string{"BREW /pot ", "\r\n\r\nx"},
		},
		"100-continue, body sent at once": {
			"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabc", ok,
			[]string{"!HTTP/1.1 100", "HTTP/1.1 200 OK"}, []string{"!expect", "\r\n\r\nabc"},
		},
		"another expectation": {
			"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 200-ok\r\n\r\nabc", ok, []string{"HTTP/1.1 417 ", "connection: close\r\n"}, []string{"!POST"},
		},
	} {
		for _, between := range []string{"none", "HTTP/2"} {
			t.Run(name+"/"+between, func(t *testing.T) {
				o := &origin{answer: c.answer}
				old := rig.JSON{"http_protocol_options": rig.JSON{"accept_http_10": true}}
				p := rig.Start(t, rig.To(rig.Scripted(t, o.serve), old, nil))
				if between == "HTTP/2" {
					p = rig.Start(t, rig.To(p.Address, old, rig.HTTP2()))
				}
				got := p.Exchange(c.send)
				wanted(t, "client", got, c.client)
				wanted(t, "backend", o.all(), c.backend)
			})
		}
	}
}

func wanted(t *testing.T, who, got string, wants []string) {
	t.Helper()
	for _, want := range wants {
		want, not := strings.CutPrefix(want, "!")
		if strings.Contains(strings.ToLower(got), strings.ToLower(want)) == not {
			t.Errorf("the %s gets (%q wanted: %v)\n%s", who, want, !not, strings.ReplaceAll(got, "\r", "\\r"))
		}
	}
}

// TestOldVersionsRefused: HTTP/1.0 is for who configures it.
func TestOldVersionsRefused(t *testing.T) {
	p := rig.Start(t, rig.To(rig.Listen(t).Addr().String(), nil, nil))
	for send, want := range map[string]string{
		"GET / HTTP/1.0\r\nHost: a\r\n\r\n": "HTTP/1.1 426 ", "GET /\r\n": "HTTP/1.1 400 ", "GET / HTTP/3.0\r\nHost: a\r\n\r\n": "HTTP/1.1 505 ",
	} {
		if got := p.Exchange(send); !strings.HasPrefix(got, want) {
			t.Errorf("%q: %q", send, got)
		}
	}
}

// TestVersionsMeet asks by net/http's clients of both versions through proxies that speak both to both kinds of servers:
// bodies, trailers both ways, the method and the status arrive as they were.
func TestVersionsMeet(t *testing.T) {
	backend := rig.Served(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Trailer", "X-Back")
		w.WriteHeader(http.StatusMultiStatus)
		_ = http.NewResponseController(w).Flush()
		fmt.Fprintf(w, "%s %s %d", r.Method, r.Proto, len(body))
		w.Header().Set("X-Back", r.Trailer.Get("X-Sum"))
	})
	for client := 1; client <= 2; client++ {
		for _, options := range []rig.JSON{nil, rig.HTTP2(), rig.SameProtocol()} {
			for _, last := range []rig.JSON{nil, rig.HTTP2()} {
				second := rig.Start(t, rig.To(backend, nil, last))
				first := rig.Start(t, rig.To(second.Address, nil, options))
				version := 1
				if last != nil {
					version = 2
				}
				want := fmt.Sprintf("PATCH HTTP/%d.%d 100000 207 sum", version, 2-version)
				if got := versionsMeet(t, rig.Client(t, client), first.Address); got != want {
					t.Errorf("client %d, %v, %v: got %q, want %q", client, options, last, got, want)
				}
			}
		}
	}
}

func versionsMeet(t *testing.T, client *http.Client, address string) string {
	t.Helper()
	body := struct{ io.Reader }{io.LimitReader(zeros{}, 100000)} // of a length net/http doesn't know
	r, err := http.NewRequest(http.MethodPatch, "http://"+address+"/x", body)
	if err != nil {
		t.Fatal(err)
	}
	r.Trailer = http.Header{"X-Sum": {"sum"}}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s %d %s", text, resp.StatusCode, resp.Trailer.Get("X-Back"))
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
