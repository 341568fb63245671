package servingcert

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
)

func TestAnErrorThatLastsIsLoggedOnceAMinute(t *testing.T) {
	w := newWorld(t)
	c, known := w.replica("a"), false
	var lines []string
	c.Log = funcr.New(func(_, line string) { lines = append(lines, line) }, funcr.Options{})
	c.Known = func() bool { return known }
	want := func(n int, text string) {
		t.Helper()
		if len(lines) != n || !strings.Contains(lines[n-1], text) {
			t.Fatalf("logged %q; want %d lines, the last with %q", lines, n, text)
		}
	}
	for range 30 {
		c.complain(t.Context(), errors.New("not read yet"))
		w.now = w.now.Add(time.Second)
	}
	want(1, "waiting until every Injector was read")
	known = true
	for range 90 {
		c.complain(t.Context(), errors.New("a fault"))
		w.now = w.now.Add(time.Second)
	}
	want(3, "a fault")
	c.complain(t.Context(), nil)
	c.complain(t.Context(), errors.New("a fault"))
	want(4, "a fault")
}
