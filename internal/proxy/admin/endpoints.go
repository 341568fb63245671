package admin

import (
	"io"
	"net/http"
	"sort"
	"strings"
)

// endpoint is one path. What changes something takes POST alone.
type endpoint struct {
	path, help string
	post       bool
	serve      http.HandlerFunc
}

// endpoints are all there is, by path.
func (a *api) endpoints() []endpoint {
	list := []endpoint{
		{"/", "Admin home page", false, a.home},
		{"/certs", "print certs on machine", false, a.certs},
		{"/clusters", "upstream cluster status", false, a.clusters},
		{"/config_dump", "dump current Envoy configs (experimental)", false, a.configDump},
		{"/contention", "dump current Envoy mutex contention stats (if enabled)", false, a.contention},
		{"/cpuprofiler", "enable/disable the CPU profiler", true, a.cpuProfiler},
		{"/drain_listeners", "drain listeners", true, a.drainListeners},
		{"/explain", "say what would happen to a connection or request", false, a.explain},
		{"/healthcheck/fail", "cause the server to fail health checks", true, a.setHealth(true)},
		{"/healthcheck/ok", "cause the server to pass health checks", true, a.setHealth(false)},
		{"/heap_dump", "dump current Envoy heap (if supported)", false, a.heapDump},
		{"/heapprofiler", "enable/disable the heap profiler", true, a.heapProfiler},
		{"/help", "print out list of admin commands", false, a.printHelp},
		{"/hot_restart_version", "print the hot restart compatibility version", false, a.hotRestartVersion},
		{"/init_dump", "dump current Envoy init manager information (experimental)", false, a.initDump},
		{"/listeners", "print listener addresses", false, a.listeners},
		{"/logging", "query/change logging levels", true, a.logging},
		{"/memory", "print current allocation/heap usage", false, a.memory},
		{"/quitquitquit", "exit the server", true, a.quit},
		{"/ready", "print server state, return 200 if LIVE, otherwise return 503", false, a.ready},
		{"/reopen_logs", "reopen access logs", true, a.reopenLogs},
		{"/reset_counters", "reset all counters to zero", true, a.resetCounters},
		{"/runtime", "print runtime values", false, a.runtime},
		{"/runtime_modify", "modify runtime values", true, a.runtimeModify},
		{"/server_info", "print server version/status information", false, a.serverInfo},
		{"/stats", "print server stats", false, a.stats},
		{"/stats/prometheus", "print server stats in prometheus format", false, a.prometheus},
		{"/stats/recentlookups", "Show recent stat-name lookups", false, a.lookups},
		{"/stats/recentlookups/clear", "clear list of stat-name lookups and counter", true, a.clearLookups},
		{"/stats/recentlookups/disable", "disable recording of reset stat-name lookup names", true, a.enableLookups(false)},
		{"/stats/recentlookups/enable", "enable recording of reset stat-name lookup names", true, a.enableLookups(true)},
		{"/tap", "stream requests as they pass", false, a.tap},
	}
	sort.Slice(list, func(i, j int) bool { return list[i].path < list[j].path })
	return list
}

// methods are those an endpoint takes. Envoy answers reads to POST too.
func (e *endpoint) methods() []string {
	if e.post {
		return []string{http.MethodPost}
	}
	return []string{http.MethodHead, http.MethodPost, http.MethodGet}
}

// helpText lists the endpoints. The mark of those that take POST stands last, so that the lines people know stay whole.
func (a *api) helpText() string {
	var b strings.Builder
	b.WriteString("admin commands are:\n")
	for i := range a.list {
		b.WriteString("  " + a.list[i].path + ": " + a.list[i].help)
		if a.list[i].post {
			b.WriteString(" (POST)")
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func (a *api) printHelp(w http.ResponseWriter, _ *http.Request) {
	_, _ = io.WriteString(w, a.helpText())
}
