package probe

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"

	"github.com/pillion-mesh/pillion/internal/agent/appdial"
	"github.com/pillion-mesh/pillion/internal/ops"
)

// Options say how probes are run.
type Options struct {
	Dial      *appdial.Dialer
	KeepAlive bool // connections of HTTP probes are kept for the next
	HTTP1     bool // HTTP/2 isn't offered to HTTPS servers
	Log       logr.Logger
}

// Handler answers GET of the probes' paths.
type Handler struct {
	set  *Set
	dial *appdial.Dialer
	log  logr.Logger
	http *http.Transport
	grpc *http.Transport

	hooks atomic.Int64
}

// Hooks is how many hooks are running now.
func (h *Handler) Hooks() int64 { return h.hooks.Load() }

// NewHandler returns the handler of a Set.
func NewHandler(set *Set, o Options) *Handler {
	return &Handler{set: set, dial: o.Dial, log: o.Log, http: httpTransport(o), grpc: grpcTransport(o)}
}

// answer is what the kubelet gets.
type answer struct {
	status int
	body   []byte
}

// writeReserve is the time to write an answer after the probe's own time is over.
const writeReserve = 5 * time.Second

// ServeHTTP runs the probe of the path. What kept it from an answer of the application is 500 and in the body.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p, err := h.set.find(r.URL.Path)
	if err != nil {
		ops.Error(w, r, http.StatusBadRequest, "unknown_probe", err.Error())
		return
	}
	if p.hook {
		h.hooks.Add(1)
		defer h.hooks.Add(-1)
	}
	extend(w, p.time+writeReserve)
	ctx, cancel := context.WithTimeout(r.Context(), p.time)
	defer cancel()
	got, err := h.run(ctx, p, r)
	if err != nil {
		h.log.V(1).Info("Probe failed", "path", r.URL.Path, "error", err.Error())
		got = answer{http.StatusInternalServerError, []byte("error: " + err.Error() + "\n")}
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8") // never what the application says: this is our port
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(got.status)
	_, _ = w.Write(got.body)
}

// extend gives this request more time than others. Reading too: when its time is over the server takes the caller
// for gone and cancels what it asked for.
func extend(w http.ResponseWriter, d time.Duration) {
	until := time.Now().Add(d)
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(until)
	_ = control.SetWriteDeadline(until)
}

func (s *Set) find(path string) (*probe, error) {
	if s.broken != nil {
		return nil, s.broken
	}
	e, known := s.probes[path]
	if !known {
		return nil, fmt.Errorf("app prober config does not exists for %s", path) // Istio's words, which people search for
	}
	return &e.probe, e.err
}

func (h *Handler) run(ctx context.Context, p *probe, r *http.Request) (answer, error) {
	switch {
	case p.HTTPGet != nil:
		return h.getHTTP(ctx, p.HTTPGet, r.Header)
	case p.TCPSocket != nil:
		return h.connectTCP(ctx, p.TCPSocket)
	default:
		return h.checkGRPC(ctx, p.GRPC, r.UserAgent())
	}
}
