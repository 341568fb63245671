package interop

import (
	"bufio"
	"crypto/sha256"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/pillion-mesh/pillion/test/proxy/rig"
)

// between are the ways a client and a backend of HTTP/1.1 are joined.
func between(t *testing.T, backend string, manager rig.JSON) map[string]*rig.Proxy {
	alone := rig.Start(t, rig.To(backend, manager, nil))
	return map[string]*rig.Proxy{"one proxy": alone, "two with HTTP/2 between": rig.Start(t, rig.To(alone.Address, manager, rig.HTTP2()))}
}

const expecting = "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"

// TestContinue: who waits for 100 before it sends gets it, from the proxy or, if so configured, from the backend alone.
func TestContinue(t *testing.T) {
	var told atomic.Bool // by the backend
	backend := rig.Served(t, func(w http.ResponseWriter, r *http.Request) {
		told.Store(r.Header.Get("Expect") != "")
		if r.URL.Path == "/refused" {
			w.Header().Set("Connection", "close")
			w.WriteHeader(http.StatusExpectationFailed)
			return
		}
		_, _ = io.Copy(w, r.Body)
	})
	for passed, manager := range map[bool]rig.JSON{false: nil, true: {"proxy_100_continue": true}} {
		for name, p := range between(t, backend, manager) {
			c := p.Dial()
			b := bufio.NewReader(c)
			_, _ = io.WriteString(c, expecting)
			if line, err := b.ReadString('\n'); err != nil || !strings.HasPrefix(line, "HTTP/1.1 100 ") {
				t.Fatalf("%s, %v: %q, %v", name, passed, line, err)
			}
			_, _ = io.WriteString(c, "hello")
			_, _ = b.ReadString('\n') // the end of its head
			if resp, text := answerOf(t, b); resp.StatusCode != http.StatusOK || text != "hello" || told.Load() != passed {
				t.Errorf("%s, %v: %d %q, the backend was told: %v", name, passed, resp.StatusCode, text, told.Load())
			}
			if !passed {
				continue
			}
			_, _ = io.WriteString(c, strings.Replace(expecting, "/x", "/refused", 1))
			if resp, _ := answerOf(t, b); resp.StatusCode != http.StatusExpectationFailed {
				t.Errorf("%s: the backend's refusal became %d", name, resp.StatusCode)
			}
		}
	}
}

func answerOf(t *testing.T, b *bufio.Reader) (*http.Response, string) {
	t.Helper()
	resp, err := http.ReadResponse(b, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(text)
}

// TestAnswerBeforeTheEnd: a backend answers while the client is sending, and the client gets that answer.
func TestAnswerBeforeTheEnd(t *testing.T) {
	backend := rig.Scripted(t, func(c *net.TCPConn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 5\r\n\r\nlarge")
		_, _ = io.Copy(io.Discard, c)
	})
	for name, p := range between(t, backend, nil) {
		c := p.Dial()
		_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nsome")
		resp, text := answerOf(t, bufio.NewReader(c))
		if resp.StatusCode != http.StatusRequestEntityTooLarge || text != "large" || !resp.Close {
			t.Errorf("%s: %d %q, close %v", name, resp.StatusCode, text, resp.Close)
		}
	}
}

// TestLargeBodies go both ways at once, through two proxies, in both versions.
func TestLargeBodies(t *testing.T) {
	const size = 3 << 20 // several times the windows; gRPC's messages are larger
	backend := rig.Served(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		_, _ = io.Copy(w, r.Body)
	})
	for name, p := range between(t, backend, nil) {
		for version := 1; version <= 2; version++ {
			want := sha256.New()
			body := io.TeeReader(io.LimitReader(&counting{}, size), want)
			resp, err := rig.Client(t, version).Post("http://"+p.Address+"/", "x/y", body)
			if err != nil {
				t.Fatal(err)
			}
			got := sha256.New()
			n, err := io.Copy(got, resp.Body)
			resp.Body.Close()
			if err != nil || n != size || string(got.Sum(nil)) != string(want.Sum(nil)) {
				t.Errorf("%s, HTTP %d: %d bytes, %v", name, version, n, err)
			}
		}
	}
}

// counting is bytes that differ from their neighbours far and near.
type counting struct{ n uint64 }

func (c *counting) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(c.n ^ c.n>>8 ^ c.n>>16)
		c.n++
	}
	return len(p), nil
}
