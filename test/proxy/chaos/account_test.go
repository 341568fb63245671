package chaos

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/test/proxy/rig"
)

// soak is how long a test goes on if it is to last; 0: it isn't.
func soak(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("PILLION_SOAK")
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("PILLION_SOAK: %v", err)
	}
	return d
}

// verdict is what a client saw of a request.
type verdict struct {
	status int  // of the head that came; 0: none
	whole  bool // the answer came to its end
	mine   bool // it was the client that broke off
	body   string
}

// ledger holds what clients saw, by the x-id they sent.
type ledger struct {
	mu   sync.Mutex
	seen map[string]verdict
	next int
}

func newLedger() *ledger { return &ledger{seen: map[string]verdict{}} }

// id is a new request's.
func (l *ledger) id() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next++
	return "r" + strconv.Itoa(l.next)
}

func (l *ledger) note(id string, v verdict) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen[id] = v
}

// line is one of the log, as rig.LogFormat has it.
type line struct{ code, flags, details, cluster, method, path, protocol, id string }

func lines(t *testing.T, log []string) []line {
	t.Helper()
	out := make([]line, 0, len(log))
	for _, text := range log {
		f := strings.Fields(text)
		if len(f) != 8 {
			t.Errorf("a line with %d words: %q", len(f), text)
			continue
		}
		out = append(out, line{f[0], f[1], f[2], f[3], f[4], f[5], f[6], f[7]})
	}
	return out
}

// settle closes the books: the clients' against the log, one line a request that the proxy saw, and a flag where the client
// saw it fail, if it wasn't the backend's own answer or the client's own doing.
func (l *ledger) settle(t *testing.T, log []line) {
	t.Helper()
	byID := map[string][]line{}
	for _, each := range log {
		byID[each.id] = append(byID[each.id], each)
	}
	flags := map[string]int{}
	wrong := 0
	for id, saw := range l.seen {
		if what := compareAll(saw, byID[id]); what != "" {
			if wrong++; wrong <= 10 {
				t.Errorf("%s: %s; the client saw %+v, the log says %+v", id, what, saw, byID[id])
			}
		}
		for _, each := range byID[id] {
			flags[each.code+" "+each.flags]++
		}
	}
	t.Logf("%d requests, %d lines: %v", len(l.seen), len(log), flags)
}

// compareAll: net/http asks again if a connection ends before it brings a byte. Then one line, whichever comes first, is
// of what it saw, and the others say by their flags why there was another one.
func compareAll(saw verdict, all []line) (what string) {
	if len(all) == 0 {
		return compare(saw, line{}, false)
	}
	fits, flagged := 0, 0
	for _, each := range all {
		if wrong := compare(saw, each, true); wrong == "" {
			fits++
		} else {
			what = wrong
		}
		if each.flags != "-" {
			flagged++
		}
	}
	switch {
	case fits == 0:
		return what
	case flagged < len(all)-1:
		return "two lines without a flag"
	}
	return ""
}

func compare(saw verdict, logged line, there bool) string {
	flagged := logged.flags != "-"
	switch {
	case !there && (saw.mine || saw.status == 0):
		return "" // the head may never have come
	case !there:
		return "no line"
	case saw.mine, saw.status == 0 && logged.path == "/early":
		return "" // who sends on after such an answer may lose it: it is waited for a while only
	case saw.status != 0 && logged.code != strconv.Itoa(saw.status):
		return "another status"
	case !saw.whole && !flagged:
		return "an answer that broke off has no flag"
	case saw.whole && saw.status == 200 && flagged:
		return "a good answer has a flag"
	case saw.whole && saw.status >= 400 && logged.details != "via_upstream" && !flagged && !expected[logged.details]:
		return "a local answer has no flag"
	}
	return ""
}

// expected are answers of the proxy's own that Envoy gives no flag.
var expected = map[string]bool{"request_header_timeout": true, "request_overall_timeout": true}

// start is what a process had before.
type start struct {
	settled func()
	heap    uint64
}

func measure(t *testing.T) start { return start{rig.Settled(t), rig.Heap()} }

// back asserts that the process has no more of anything than before. Pools and tables may have grown, by megabytes, not
// with the number of requests.
func (s start) back(t *testing.T) {
	t.Helper()
	s.settled()
	const allowed = 24 << 20
	if heap := rig.Heap(); heap > s.heap+allowed {
		t.Errorf("the heap has grown from %d to %d bytes", s.heap, heap)
	} else {
		t.Logf("heap: %d KiB before, %d KiB after; goroutines: %d", s.heap>>10, heap>>10, runtime.NumGoroutine())
	}
}

// counted asserts that the proxy's metrics tell of as many requests as its log.
func counted(t *testing.T, p *rig.Proxy, log func() []line) []line {
	t.Helper()
	rig.Eventually(t, "all requests are over, counted and logged", func() error {
		active, total := p.Stat("envoy_http_downstream_rq_active", nil), p.Stat("envoy_http_downstream_rq_total", nil)
		if logged := p.Logged(); active != 0 || total != float64(logged) {
			return fmt.Errorf("%v are under way, %v were counted, %d logged", active, total, logged)
		}
		return nil
	})
	if n := p.Stat("envoy_pillion_panic", nil); n != 0 {
		t.Errorf("%v panics", n)
	}
	return log()
}
