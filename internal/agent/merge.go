package agent

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/pillion-mesh/pillion/internal/istio"
	"github.com/pillion-mesh/pillion/internal/ops/exposition"
)

// scrapeBytes is the most that is taken from one target.
const scrapeBytes = 10 << 20

// counters are what the agent counts itself.
type counters struct {
	scrapes, scrapeFailures atomic.Uint64
	refused                 atomic.Uint64
}

// metrics writes the agent's metrics, then the proxy's. A proxy that doesn't answer is counted and never fails the
// scrape.
func (a *Agent) metrics(w http.ResponseWriter, r *http.Request) {
	a.counters.scrapes.Add(1)
	proxy, err := a.proxyMetrics(r.Context())
	if err != nil {
		a.counters.scrapeFailures.Add(1)
		a.log.Error(err, "Metrics of the proxy are missing")
	} else {
		defer proxy.Close()
	}
	w.Header().Set("Content-Type", exposition.ContentType)
	own := bytes.NewReader(a.ownMetrics())
	seen := map[string]bool{}
	if err := mergeText(w, own, seen); err == nil && proxy != nil {
		_ = mergeText(w, io.LimitReader(proxy, scrapeBytes), seen)
	}
}

func (a *Agent) proxyMetrics(ctx context.Context) (io.ReadCloser, error) {
	if a.supervisor.Status().State == Exited {
		return nil, errors.New("no proxy runs")
	}
	resp, err := a.proxy.Do(ctx, http.MethodGet, istio.PathPrometheus, nil)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, errors.Join(fmt.Errorf("the proxy answered %s", resp.Status), resp.Body.Close())
	}
	return resp.Body, nil
}

// mergeText copies a page of metrics line by line and leaves out # HELP and # TYPE of families that had them already:
// a second one makes the whole scrape invalid.
func mergeText(w io.Writer, page io.Reader, seen map[string]bool) error {
	lines := bufio.NewReaderSize(page, 16<<10)
	for {
		line, err := lines.ReadSlice('\n')
		for errors.Is(err, bufio.ErrBufferFull) { // a line longer than the buffer passes in pieces
			if _, werr := w.Write(line); werr != nil {
				return werr
			}
			line, err = lines.ReadSlice('\n')
		}
		if key := describes(line); key == "" || !seen[key] {
			if key != "" {
				seen[key] = true
			}
			if _, werr := w.Write(line); werr != nil {
				return werr
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// describes returns "HELP name" or "TYPE name" of such a line, else "".
func describes(line []byte) string {
	fields := bytes.SplitN(line, []byte(" "), 4)
	if len(fields) < 3 || string(fields[0]) != "#" {
		return ""
	}
	return string(fields[1]) + " " + string(bytes.TrimSpace(fields[2]))
}

func (a *Agent) ownMetrics() []byte {
	var b bytes.Buffer
	w := exposition.NewWriter(&b)
	child := a.supervisor.Status()
	ready, _ := Ready(a.facts())
	w.Family("istio_build", exposition.Gauge, "")
	w.Sample("istio_build", 1, "component", "agent", "tag", a.build)
	w.Gauge("pillion_agent_ready", "1 while the sidecar can take traffic.", oneIf(ready))
	w.Gauge("pillion_agent_draining", "1 while the sidecar is going away.", oneIf(a.draining.Load()))
	w.Gauge("pillion_agent_uptime_seconds", "", time.Since(a.started).Truncate(time.Second).Seconds())
	w.Gauge("pillion_agent_goroutines", "", float64(runtime.NumGoroutine()))
	w.Family("pillion_agent_child_epoch", exposition.Gauge, "Epoch of the latest start.")
	w.Sample("pillion_agent_child_epoch", float64(child.Epoch), "component", "proxy")
	w.Family("pillion_agent_child_starts_total", exposition.Counter, "Times the component was started.")
	w.Sample("pillion_agent_child_starts_total", float64(child.Starts), "component", "proxy")
	w.Family("pillion_agent_child_exits_total", exposition.Counter, "Times the component ended.")
	w.Sample("pillion_agent_child_exits_total", float64(child.Exits), "component", "proxy")
	w.Counter("pillion_agent_orphans_reaped_total", "Processes reaped that were not started by the agent.", float64(a.reaper.Orphans()))
	w.Counter("pillion_agent_calls_refused_total", "Calls of the operations API that the caller may not make.", float64(a.counters.refused.Load()))
	w.Counter("istio_agent_scrapes_total", "", float64(a.counters.scrapes.Load()))
	w.Family("istio_agent_scrape_failures_total", exposition.Counter, "")
	w.Sample("istio_agent_scrape_failures_total", float64(a.counters.scrapeFailures.Load()), "type", "envoy")
	return b.Bytes()
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
