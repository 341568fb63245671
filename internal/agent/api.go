package agent

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/pillion-mesh/pillion/internal/istio"
	"github.com/pillion-mesh/pillion/internal/ops"
	"github.com/pillion-mesh/pillion/internal/version"
)

// route is an endpoint and who may call it.
type route struct {
	path  string
	level ops.Level
	serve http.HandlerFunc
}

// routes are port 15020 and agent.sock. Only what the kubelet and Prometheus call from outside of the pod is anyone's.
func (a *Agent) routes() []route {
	ending := ops.Ourselves
	if a.settings.QuitFromApp {
		ending = ops.Loopback
	}
	return []route{
		{istio.PathReady, ops.Anyone, ops.Get(a.ready)},
		{istio.PathPrometheus, ops.Anyone, ops.Get(a.metrics)},
		{"/metrics", ops.Anyone, ops.Get(a.metrics)},
		{"/app-health/", ops.Anyone, ops.Get(a.probe)},
		{"/app-lifecycle/", ops.Anyone, ops.Get(a.probe)},
		{"/capture", ops.Loopback, ops.Get(a.capture)},
		{"/version", ops.Loopback, ops.Get(a.version)},
		{"/drain", ending, ops.Post(a.drain)},
		{"/quitquitquit", ending, ops.Post(a.quit)},
		{"/", ops.Anyone, notFound},
	}
}

func (a *Agent) opsAPI() http.Handler {
	guard := a.guard()
	mux := http.NewServeMux()
	for _, r := range a.routes() {
		mux.HandleFunc(r.path, guard.Require(r.level, r.serve))
	}
	return mux
}

// readyAPI is port 15021: nothing of the above but readiness.
func (a *Agent) readyAPI() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc(istio.PathReady, ops.Get(a.ready))
	mux.HandleFunc("/", notFound)
	return mux
}

func notFound(w http.ResponseWriter, r *http.Request) {
	ops.Error(w, r, http.StatusNotFound, "not_found", "nothing is served at "+r.URL.Path)
}

func (a *Agent) ready(w http.ResponseWriter, _ *http.Request) {
	ready, blocked := Ready(a.facts())
	if !ready {
		w.Header().Set("X-Pillion-Blocked", strings.Join(blocked, ","))
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

func (a *Agent) version(w http.ResponseWriter, r *http.Request) {
	info := version.Get()
	if ops.WantsJSON(r) {
		ops.JSON(w, info)
		return
	}
	ops.Text(w, info.String()+"\n")
}

// drain starts draining and stays: the preStop hook of native sidecars calls it, the kubelet's SIGTERM ends us later.
func (a *Agent) drain(w http.ResponseWriter, _ *http.Request) {
	a.ending.prepare()
	ops.Text(w, "OK")
}

func (a *Agent) quit(w http.ResponseWriter, _ *http.Request) {
	ops.Text(w, "OK")
	a.ending.quit()
}

func (a *Agent) guard() *ops.Guard {
	return &ops.Guard{
		OwnUID: a.uid,
		Peers:  &ops.Kernel{Find: ops.FindSocket, Ours: a.holdsSocket},
		OnRefused: func(r *http.Request, why string) {
			a.counters.refused.Add(1)
			a.log.Info("Call refused", "method", r.Method, "path", r.URL.Path, "from", r.RemoteAddr, "why", why)
		},
	}
}

func (a *Agent) holdsSocket(inode uint32) (bool, error) {
	pid := a.supervisor.Status().PID
	if pid == 0 {
		return false, nil
	}
	held, err := ops.HoldsSocket("/proc", []int{pid}, inode)
	if err != nil {
		return false, fmt.Errorf("looking through the proxy's descriptors: %w", err)
	}
	return held, nil
}
