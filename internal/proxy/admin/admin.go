// Package admin serves what the proxy says about itself over HTTP, in Envoy's words: port 15000 (New), and metrics alone
// on 15090 (Scrape). Small interfaces over the rest of the proxy come in, handlers go out. Loopback may read; only the
// proxy's own user may change anything, which package ops finds out from the kernel.
//
// Read this file first, then endpoints.go, the list of all there is; the other files hold one family of endpoints each.
package admin

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/pillion-mesh/pillion/internal/ops"
	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/telemetry"
	"github.com/pillion-mesh/pillion/internal/proxy/upstream"
)

// Options are the parts of the proxy the endpoints speak of. All but those said to be optional must be set.
type Options struct {
	Guard *ops.Guard
	// LoopbackLogging opens /logging to every process of the pod: PILLION_OPS_LOOPBACK_WRITES.
	LoopbackLogging bool
	// LoopbackQuit opens /quitquitquit and /drain_listeners to them: PILLION_QUIT_FROM_APP.
	LoopbackQuit bool

	Server   Server
	Stats    Stats
	Clusters Clusters
	Config   Config
	Runtime  func() *config.Runtime // the configuration that serves
	Certs    func() []Certificates
	Now      func() time.Time // nil: the system's
	Logging  Logging
	Values   RuntimeValues // of the layered runtime

	Explainer Explainer // optional
	Tap       Tap       // optional

	ProfilePath  string // admin.profile_path
	MutexTracing bool   // --enable-mutex-tracing
}

// Server is the process.
type Server interface {
	Process() telemetry.Process
	Info() Info
	// FailHealth makes the server fail its health checks, or pass them again.
	FailHealth(fail bool)
	Quit()
	Drain(Drain)
	ReopenLogs()
}

// Drain says how listeners are drained.
type Drain struct {
	Graceful    bool // ask peers to leave first
	SkipExit    bool // stay after that
	InboundOnly bool
}

// Info is what /server_info says besides the state.
type Info struct {
	Version     string // sha/version/Clean/RELEASE/Go
	AllUptime   time.Duration
	CommandLine any // as JSON: command_line_options
	Node        any // as JSON: node
}

// Stats are the statistics; *telemetry.Store is one.
type Stats interface {
	Prometheus(io.Writer, telemetry.Process, telemetry.Query) error
	WriteText(io.Writer, telemetry.Process, telemetry.Query) error
	WriteJSON(io.Writer, telemetry.Process, telemetry.Query) error
	ResetCounters()
	Lookups() *telemetry.Lookups
}

// Clusters are the upstream clusters; *upstream.Manager is one.
type Clusters interface {
	Statuses(yield func(*upstream.Status) bool)
}

// Config dumps the configuration as control planes sent it. query is the URL's: resource, mask, name_regex,
// include_eds. An error with a method HTTPStatus() int says which status the answer has.
type Config interface {
	Dump(w io.Writer, query url.Values) error
	InitDump(w io.Writer, mask string) error
}

// Logging are the levels of the log at run time, by scope; *log.Scopes is one.
type Logging interface {
	// Each calls yield for each scope by the order of names.
	Each(yield func(name, level string))
	// Set sets the level of a scope, or of all for "". It fails if there is no such scope or level.
	Set(scope, level string) error
	// Check says what Set would.
	Check(scope, level string) error
}

// api is the handler of port 15000.
type api struct {
	Options
	byPath map[string]*endpoint
	list   []endpoint
	cpu    profiler
}

// New returns the handler of port 15000.
func New(o Options) http.Handler {
	if o.Now == nil {
		o.Now = time.Now
	}
	a := &api{Options: o, byPath: map[string]*endpoint{}}
	a.list = a.endpoints()
	for i := range a.list {
		a.byPath[a.list[i].path] = &a.list[i]
	}
	if o.MutexTracing {
		traceMutexes()
	}
	return a
}

// ServeHTTP finds the endpoint by its exact path, checks the method, then who asks.
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Content-Type", "text/plain; charset=utf-8")
	header.Set("Cache-Control", "no-cache, max-age=0")
	header.Set("X-Content-Type-Options", "nosniff")
	e := a.byPath[r.URL.Path]
	if e == nil {
		a.Guard.Require(ops.Loopback, a.unknown)(w, r)
		return
	}
	if allowed := e.methods(); !contains(allowed, r.Method) {
		refuseMethod(w, r.Method, allowed)
		return
	}
	a.Guard.Require(a.level(e), e.serve)(w, r)
}

func (a *api) level(e *endpoint) ops.Level {
	switch {
	case !e.post:
		return ops.Loopback
	case e.path == "/logging" && a.LoopbackLogging:
		return ops.Loopback
	case (e.path == "/quitquitquit" || e.path == "/drain_listeners") && a.LoopbackQuit:
		return ops.Loopback
	default:
		return ops.Ourselves
	}
}

func refuseMethod(w http.ResponseWriter, method string, allowed []string) {
	w.Header()["Allow"] = allowed
	fail(w, http.StatusMethodNotAllowed, "Method "+method+" not allowed, "+allowed[len(allowed)-1]+" required.")
}

func (a *api) unknown(w http.ResponseWriter, _ *http.Request) {
	fail(w, http.StatusNotFound, "invalid path. "+a.helpText())
}

func fail(w http.ResponseWriter, status int, text string) {
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text)
}

func ok(w http.ResponseWriter) { _, _ = io.WriteString(w, "OK\n") }

func contains(list []string, what string) bool {
	for _, each := range list {
		if each == what {
			return true
		}
	}
	return false
}

// streamed writes what f writes. An error before the first byte becomes the answer's status; one after it breaks the
// connection off, so that nobody takes the half for the whole.
func streamed(w http.ResponseWriter, contentType string, f func(io.Writer) error) {
	s := &firstWrite{w: w, contentType: contentType}
	err := f(s)
	if err == nil && !s.started {
		_, err = s.Write(nil)
	}
	switch {
	case err == nil:
	case s.started:
		panic(http.ErrAbortHandler)
	default:
		failWith(w, err)
	}
}

// firstWrite sets the content type when the first byte comes.
type firstWrite struct {
	w           http.ResponseWriter
	contentType string
	started     bool
}

func (s *firstWrite) Write(p []byte) (int, error) {
	if !s.started {
		s.w.Header().Set("Content-Type", s.contentType)
		s.started = true
	}
	return s.w.Write(p)
}

// failWith answers an error with the status it asks for, 500 if none.
func failWith(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	if e, ok := asStatus(err); ok {
		status = e
	}
	fail(w, status, err.Error()+"\n")
}

// jsonType is the media type of JSON.
const jsonType = "application/json"

// indented writes v as protojson with indents would: one blank a level, no HTML escapes.
func indented(w http.ResponseWriter, v any) {
	var b bytes.Buffer
	if err := encode(&b, v); err != nil {
		failWith(w, err)
		return
	}
	w.Header().Set("Content-Type", jsonType)
	_, _ = w.Write(b.Bytes())
}
