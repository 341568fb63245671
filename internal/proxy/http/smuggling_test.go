package http

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// recorder is a backend that notes each request as it understands it.
type recorder struct {
	mu   sync.Mutex
	seen []string
}

func (r *recorder) serve(conn net.Conn) {
	for b := bufio.NewReader(conn); ; {
		request := next(b)
		if request == nil {
			return
		}
		body, _ := io.ReadAll(request.Body)
		r.mu.Lock()
		r.seen = append(r.seen, fmt.Sprintf("%s %s %d", request.Method, request.URL.Path, len(body)))
		r.mu.Unlock()
		_, _ = io.WriteString(conn, plainAnswer)
	}
}

func (r *recorder) all() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.seen, "|")
}

// TestSmuggling sends each file of the corpus, and looks at what a backend makes of what comes out. A file begins with
// `want: STATUS DETAILS` for a request that is refused and must not be seen whole, or `want: 200 METHOD PATH LENGTH|…`
// for the requests that are to be seen, no other. The rest are the bytes, lines joined, in Go's escapes.
func TestSmuggling(t *testing.T) {
	files, err := filepath.Glob("testdata/smuggling/*.txt")
	if err != nil || len(files) < 50 {
		t.Fatal(len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			status, want, message := readCase(t, file)
			backend := &recorder{}
			r := newRig(t, []string{scripted(t, backend.serve)}, nil)
			got := r.exchange(message)
			if !strings.HasPrefix(got, "HTTP/1.1 "+status+" ") {
				t.Errorf("want %s, got\n%s", status, got)
			}
			if status != "200" {
				r.logged(status + " DPE " + want)
				if strings.Contains(backend.all(), "smuggled") || strings.Count(got, "HTTP/1.1 ") != 1 {
					t.Errorf("the backend saw %s, the client\n%s", backend.all(), got)
				}
				return
			}
			if backend.all() != want || strings.Count(got, "HTTP/1.1 200 ") != strings.Count(want, "|")+1 {
				t.Errorf("the backend saw %s, want %s; the client got\n%s", backend.all(), want, got)
			}
		})
	}
}

func readCase(t *testing.T, file string) (status, want, message string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	status, want, _ = strings.Cut(strings.TrimPrefix(lines[0], "want: "), " ")
	for _, line := range lines[1:] {
		bytes, err := strconv.Unquote(`"` + line + `"`)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		message += bytes
	}
	return status, want, message
}
