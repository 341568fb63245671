package admin

import (
	"io"
	"net/http"
	"runtime/metrics"
	"strconv"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/telemetry"
)

// HotRestartVersion is the version of the protocol on descriptor 3 and of the format counters travel in.
const HotRestartVersion = "1.0"

var stateNames = map[int]string{
	telemetry.Live: "LIVE", telemetry.Draining: "DRAINING",
	telemetry.PreInitializing: "PRE_INITIALIZING", telemetry.Initializing: "INITIALIZING",
}

func (a *api) ready(w http.ResponseWriter, _ *http.Request) {
	state := a.Server.Process().State
	if state != telemetry.Live {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_, _ = io.WriteString(w, stateNames[state]+"\n")
}

type serverInfo struct {
	Version           string `json:"version"`
	State             string `json:"state"`
	HotRestartVersion string `json:"hot_restart_version"`
	CommandLine       any    `json:"command_line_options,omitempty"`
	Node              any    `json:"node,omitempty"`
	UptimeCurrent     string `json:"uptime_current_epoch"`
	UptimeAll         string `json:"uptime_all_epochs"`
}

func (a *api) serverInfo(w http.ResponseWriter, _ *http.Request) {
	process, info := a.Server.Process(), a.Server.Info()
	indented(w, serverInfo{
		Version: info.Version, State: stateNames[process.State], HotRestartVersion: HotRestartVersion,
		CommandLine: info.CommandLine, Node: info.Node,
		UptimeCurrent: seconds(process.Uptime), UptimeAll: seconds(info.AllUptime),
	})
}

func seconds(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) + "s" }

func (a *api) hotRestartVersion(w http.ResponseWriter, _ *http.Request) {
	_, _ = io.WriteString(w, HotRestartVersion)
}

func (a *api) setHealth(fail bool) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		a.Server.FailHealth(fail)
		ok(w)
	}
}

// quit answers first: who asked must hear it.
func (a *api) quit(w http.ResponseWriter, _ *http.Request) {
	ok(w)
	_ = http.NewResponseController(w).Flush()
	a.Server.Quit()
}

func (a *api) reopenLogs(w http.ResponseWriter, _ *http.Request) {
	a.Server.ReopenLogs()
	ok(w)
}

func (a *api) drainListeners(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	d := Drain{Graceful: q.Has("graceful"), SkipExit: q.Has("skip_exit"), InboundOnly: q.Has("inboundonly")}
	if d.SkipExit && !d.Graceful {
		fail(w, http.StatusBadRequest, "skip_exit requires graceful\n")
		return
	}
	a.Server.Drain(d)
	ok(w)
}

type memoryInfo struct {
	Allocated        number `json:"allocated"`
	HeapSize         number `json:"heap_size"`
	PageheapUnmapped number `json:"pageheap_unmapped"`
	PageheapFree     number `json:"pageheap_free"`
	TotalThreadCache number `json:"total_thread_cache"`
	TotalPhysical    number `json:"total_physical_bytes"`
}

// memory says in the words of Envoy's allocator what Go's runtime knows of itself.
func (a *api) memory(w http.ResponseWriter, _ *http.Request) {
	class := func(name string) number {
		sample := []metrics.Sample{{Name: "/memory/classes/" + name + ":bytes"}}
		metrics.Read(sample)
		return number(sample[0].Value.Uint64())
	}
	objects, unused, free, released := class("heap/objects"), class("heap/unused"), class("heap/free"), class("heap/released")
	indented(w, memoryInfo{
		Allocated: objects, HeapSize: objects + unused + free, PageheapUnmapped: released, PageheapFree: free,
		TotalThreadCache: class("metadata/mcache/inuse"), TotalPhysical: class("total") - released,
	})
}
