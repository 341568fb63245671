package smuggling

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

// recorder is a backend of HTTP/1.1 and of HTTP/2 that notes each whole request as it understands it.
type recorder struct {
	mu     sync.Mutex
	seen   []string
	bodies []string
}

// note reads a request's body and notes it, if it comes to an end.
func (r *recorder) note(q *http.Request) error {
	body, err := io.ReadAll(q.Body)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = append(r.seen, fmt.Sprintf("%s %s %d", q.Method, q.URL.RequestURI(), len(body)))
	r.bodies = append(r.bodies, string(body))
	return nil
}

func (r *recorder) serve(c *net.TCPConn) {
	for b := bufio.NewReader(c); ; {
		q, err := http.ReadRequest(b)
		if err != nil || r.note(q) != nil {
			return
		}
		if _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"); err != nil {
			return
		}
	}
}

// take returns what was seen since the last time.
func (r *recorder) take() (seen, bodies string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	seen, bodies = strings.Join(r.seen, "|"), strings.Join(r.bodies, "|")
	r.seen, r.bodies = nil, nil
	return seen, bodies
}

// backends are what stands behind the proxy, by name, for a version of HTTP. All of it ends at the recorder.
func backends(t *testing.T, r *recorder, version int) map[string]string {
	plain := rig.Scripted(t, r.serve)
	all := map[string]string{"recorder": plain}
	if version == 2 {
		all["recorder"] = rig.Served(t, func(_ http.ResponseWriter, q *http.Request) { _ = r.note(q) })
	}
	for name, start := range opinions {
		if address := start(t, version, plain); address != "" {
			all[name] = address
		}
	}
	return all
}

// upstream is the version a cluster speaks.
func upstream(version int) rig.JSON {
	if version == 2 {
		return rig.HTTP2()
	}
	return nil
}
