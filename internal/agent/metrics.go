package agent

import (
	"bytes"
	"context"
	"net/http"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/pillion-mesh/pillion/internal/agent/scrape"
	"github.com/pillion-mesh/pillion/internal/istio"
	"github.com/pillion-mesh/pillion/internal/ops/exposition"
)

// counters are what the agent counts itself.
type counters struct {
	scrapes                  atomic.Uint64
	proxyMissing, appMissing atomic.Uint64
	refused                  atomic.Uint64
}

// newScraper joins the agent's page, the proxy's and those of the application.
func (a *Agent) newScraper(targets []scrape.Target) *scrape.Scraper {
	proxy := scrape.Source{Kind: scrape.Proxy, Name: "proxy", Fetch: func(ctx context.Context, _ http.Header) (*http.Response, error) {
		return a.proxy.Do(ctx, http.MethodGet, istio.PathPrometheus, nil)
	}}
	return scrape.New(a.ownMetrics, a.missing, append([]scrape.Source{proxy}, scrape.Applications(targets, a.dialer())...)...)
}

func (a *Agent) metrics(w http.ResponseWriter, r *http.Request) {
	a.counters.scrapes.Add(1)
	a.scraper.ServeHTTP(w, r)
}

// missing counts a source without metrics. Of applications, which may have none for days, the first is in the log and
// the rest only in debug's.
func (a *Agent) missing(source scrape.Source, err error) {
	if source.Kind == scrape.Proxy {
		a.counters.proxyMissing.Add(1)
		a.log.Error(err, "Metrics of the proxy are missing")
		return
	}
	level := min(int(a.counters.appMissing.Add(1))-1, 1)
	a.log.V(level).Info("Metrics of the application are missing", "target", source.Name, "error", err.Error())
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
	w.Sample("istio_agent_scrape_failures_total", float64(a.counters.proxyMissing.Load()), "type", scrape.Proxy)
	w.Sample("istio_agent_scrape_failures_total", float64(a.counters.appMissing.Load()), "type", scrape.Application)
	a.rulesMetrics(w)
	return b.Bytes()
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
