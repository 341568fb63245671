package smuggling

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/pillion-mesh/pillion/test/proxy/rig"
)

const poison = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\npoisoned"

// TestAnswers: a backend's answer with two readings is nobody's answer, and never the answer to the next request. The
// client gets what is wanted here, or an answer that breaks off ("cut").
func TestAnswers(t *testing.T) {
	for name, c := range map[string]struct{ answer, want string }{
		"both lengths":         {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + poison, "502"},
		"two lengths":          {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 70\r\n\r\nok" + poison, "502"},
		"a list of lengths":    {"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok" + poison, "502"},
		"a signed length":      {"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok" + poison, "502"},
		"unknown encoding":     {"HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + poison, "502"},
		"encoding twice":       {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + poison, "502"},
		"folded line":          {"HTTP/1.1 200 OK\r\nX: a\r\n Content-Length: 2\r\n\r\nok" + poison, "502"},
		"bare line end":        {"HTTP/1.1 200 OK\nContent-Length: 2\n\nok" + poison, "502"},
		"carriage return":      {"HTTP/1.1 200 OK\r\nX: a\rContent-Length: 2\r\n\r\nok" + poison, "502"},
		"blank before colon":   {"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok" + poison, "502"},
		"unasked switch":       {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n" + poison, "502"},
		"not HTTP":             {"SSH-2.0-OpenSSH\r\n\r\n" + poison, "502"},
		"length of HTTP/1.0":   {"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + poison, "502"},
		"broken chunk":         {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x2\r\nok\r\n0\r\n\r\n" + poison, "cut"},
		"chunk without end":    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokok\r\n0\r\n\r\n" + poison, "cut"},
		"bytes behind":         {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" + poison, "200 ok"},
		"bytes behind 204":     {"HTTP/1.1 204 No Content\r\nContent-Length: 60\r\n\r\n" + poison, "204 "},
		"bytes behind chunks":  {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n" + poison, "200 ok"},
		"line end in trailers": {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX: a\rb\r\n\r\n" + poison, "cut"},
	} {
		for version := 1; version <= 2; version++ {
			t.Run(fmt.Sprintf("%s/HTTP %d", name, version), func(t *testing.T) {
				p := rig.Start(t, rig.To(rig.Scripted(t, answering(c.answer)), nil, nil))
				client := rig.Client(t, version)
				if got := get(client, p.Address, "/bad"); !strings.HasPrefix(got, c.want) {
					t.Errorf("the client gets %q, want %q", got, c.want)
				}
				for range 3 {
					if got := get(client, p.Address, "/good"); got != "200 good" {
						t.Errorf("the next request gets %q", got)
					}
				}
			})
		}
	}
}

// answering gives the answer to /bad, a good one to others.
func answering(bad string) func(*net.TCPConn) {
	return func(c *net.TCPConn) {
		for b := bufio.NewReader(c); ; {
			r, err := http.ReadRequest(b)
			if err != nil {
				return
			}
			answer := "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood"
			if r.URL.Path == "/bad" {
				answer = bad
			}
			if _, err := io.WriteString(c, answer); err != nil {
				return
			}
		}
	}
}

// get returns status and body; "cut" if either breaks off.
func get(client *http.Client, address, path string) string {
	resp, err := client.Get("http://" + address + path)
	if err != nil {
		return "cut: " + err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return "cut: " + err.Error()
	}
	return fmt.Sprintf("%d %s", resp.StatusCode, body)
}
