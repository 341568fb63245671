package source

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// TestNamesAreWaitedFor: the proxy isn't ready, and a changed cluster serves as it was, until names are looked up.
func TestNamesAreWaitedFor(t *testing.T) {
	s, ads, _ := toySource(t)
	over := map[string]chan struct{}{}
	s.opts.Warm = func(c *config.Cluster) <-chan struct{} {
		if c.Name != "c" {
			return nil
		}
		over[c.Name] = make(chan struct{})
		return over[c.Name]
	}
	push(t, ads, clusters, "1", toy(clusters, "c", ""), toy(clusters, "d", ""))
	push(t, ads, listeners, "1")
	var missing bytes.Buffer
	if err := s.InitDump(&missing, ""); err != nil || s.Ready() || !strings.Contains(missing.String(), `"DNS c"`) {
		t.Fatalf("ready %v, %v, %s", s.Ready(), err, missing.String())
	}
	close(over["c"])
	wait(t, func() bool { return s.Ready() && s.Runtime().Load().Cluster("c") != nil })

	before := s.Runtime().Load().Cluster("c")
	push(t, ads, clusters, "2", toy(clusters, "c", "other"))
	if s.Runtime().Load().Cluster("c") != before {
		t.Fatal("the changed cluster doesn't wait")
	}
	second := over["c"]
	push(t, ads, clusters, "3", toy(clusters, "c", "third")) // before the second one's names are there
	close(second)
	close(over["c"])
	wait(t, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		e := s.Runtime().Load().Cluster("c")
		return e != before && e == s.tables[clusters]["c"].active.cluster && s.tables[clusters]["c"].active.text == "3"
	})
}

// TestNamesAreWaitedForNotForEver: a name server that says nothing holds nobody up for long.
func TestNamesAreWaitedForNotForEver(t *testing.T) {
	s, ads, _ := toySource(t)
	s.opts.WarmTime = time.Millisecond
	s.opts.Warm = func(*config.Cluster) <-chan struct{} { return make(chan struct{}) }
	push(t, ads, clusters, "1", toy(clusters, "c", ""))
	push(t, ads, listeners, "1")
	wait(t, s.Ready)
}

func wait(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatal("it doesn't happen")
}
