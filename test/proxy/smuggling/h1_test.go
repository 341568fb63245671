package smuggling

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/pillion-mesh/pillion/test/proxy/rig"
)

const corpus = "../../../internal/proxy/http/testdata/smuggling/*.txt"

// TestHTTP1 sends each file of the corpus through proxies that speak HTTP/1.1 and HTTP/2 to each kind of backend. What is
// refused is never seen with its second half; what is accepted is seen by all alike.
func TestHTTP1(t *testing.T) {
	files, err := filepath.Glob(corpus)
	if err != nil || len(files) < 50 {
		t.Fatal(len(files), err)
	}
	for version := 1; version <= 2; version++ {
		r := &recorder{}
		for name, backend := range backends(t, r, version) {
			t.Run(fmt.Sprintf("to %s by HTTP %d", name, version), func(t *testing.T) {
				p := rig.Start(t, rig.To(backend, nil, upstream(version)))
				for _, file := range files {
					one(t, p, r, file)
				}
			})
		}
	}
}

// one sends a file's request. Each begins with `want: STATUS DETAILS` if it is to be refused, or `want: 200 METHOD PATH
// LENGTH|…` with what is to be seen; the rest are the bytes, lines joined, in Go's escapes.
func one(t *testing.T, p *rig.Proxy, r *recorder, file string) {
	status, want, message := read(t, file)
	got := send(t, p, message)
	seen, bodies := r.take()
	name := filepath.Base(file)
	if !strings.HasPrefix(got, "HTTP/1.1 "+status+" ") {
		t.Errorf("%s: want %s, got\n%s", name, status, got)
	}
	if status != "200" {
		if strings.Contains(seen, "smuggled") || strings.Count(got, "HTTP/1.1 ") != 1 {
			t.Errorf("%s: the backend saw %s, the client\n%s", name, seen, got)
		}
		return
	}
	if seen != want || strings.Count(got, "HTTP/1.1 200 ") != strings.Count(want, "|")+1 {
		t.Errorf("%s: the backend saw %s %q, want %s; the client got\n%s", name, seen, bodies, want, got)
	}
}

func send(t *testing.T, p *rig.Proxy, message string) string {
	t.Helper()
	c := rig.Dial(t, p.Address)
	if _, err := io.WriteString(c, message); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(c)
	if err != nil && len(got) == 0 {
		t.Errorf("%v after %q", err, message)
	}
	return string(got)
}

func read(t *testing.T, file string) (status, want, message string) {
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
			t.Fatalf("%s: %s: %v", file, line, err)
		}
		message += bytes
	}
	return status, want, message
}
