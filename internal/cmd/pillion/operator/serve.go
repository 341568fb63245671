package operator

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/pillion-mesh/pillion/internal/controller/servingcert"
	"github.com/pillion-mesh/pillion/internal/controller/validate"
	"github.com/pillion-mesh/pillion/webhook/front"
)

// closer is an http.Server, or what has one.
type closer interface {
	Shutdown(ctx context.Context) error
	Close() error
}

// httpServer is a server and the goroutine that serves it.
type httpServer struct {
	closer
	done chan error
}

func start(server closer, serve func() error) *httpServer {
	s := &httpServer{closer: server, done: make(chan error, 1)}
	go func() {
		err := serve()
		if errors.Is(err, http.ErrServerClosed) {
			err = nil
		}
		s.done <- err
	}()
	return s
}

// shutdown lets requests in flight finish, for as long as patience.
func (s *httpServer) shutdown(patience time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		_ = s.Close() // patience is at its end
	}
	<-s.done //nolint:errcheck // an error was the reason to come here, or is none
}

// WebhookServer is the server of admission, certificate aside. It is exported for benchmarks, which measure what runs.
// API servers speak HTTP/1.1 to webhooks; HTTP/2 would put all their calls on one connection and so on one replica.
func WebhookServer(handler http.Handler, certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)) *front.Server {
	return &front.Server{KeepAlive: true, Mine: func(path string) bool { return path != validate.Path }, HTTP: &http.Server{
		Handler: handler,
		TLSConfig: &tls.Config{
			MinVersion: tls.VersionTLS12, GetCertificate: certificate, NextProtos: []string{"http/1.1"},
			DynamicRecordSizingDisabled: true, // answers are wanted whole; small records only make more of them
		},
		TLSNextProto:      map[string]func(*http.Server, *tls.Conn, http.Handler){},
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      40 * time.Second,  // the longest timeoutSeconds is 30
		IdleTimeout:       180 * time.Second, // longer than the API server's 90: who closes first can't lose a request
		MaxHeaderBytes:    64 << 10,
	}}
}

func serveWebhook(listener net.Listener, handler *drainable, certificate *servingcert.Controller, keepAlive bool) *httpServer {
	server := WebhookServer(handler, certificate.GetCertificate)
	server.KeepAlive = keepAlive
	server.HTTP.SetKeepAlivesEnabled(keepAlive)
	server.HTTP.ErrorLog, server.ConnContext, server.Count = certificate.ErrorLog(), certificate.ConnContext, handler.count
	return start(server, func() error { return server.Serve(listener) })
}

// drainable asks for each connection's end once the replica is to end. An answer that says so can't lose a request,
// whereas closing an idle connection races with the request an API server may be sending on it.
type drainable struct {
	next     http.Handler
	draining atomic.Bool
	open     atomic.Int64 // connections
}

func (d *drainable) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if d.draining.Load() {
		w.Header().Set("Connection", "close")
	}
	d.next.ServeHTTP(w, r)
}

func (d *drainable) count(n int) { d.open.Add(int64(n)) }

// serveOps serves metrics and health.
func serveOps(address string, h *health, registry *prometheus.Registry, log logr.Logger) (*httpServer, error) {
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("ops server: %w", err)
	}
	mux := http.NewServeMux()
	// controller-runtime keeps its metrics, and Go's, in a registry of its own.
	mux.Handle("GET /metrics", promhttp.HandlerFor(prometheus.Gatherers{registry, metrics.Registry}, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", alive)
	mux.HandleFunc("GET /livez", alive)
	mux.HandleFunc("GET /readyz", h.readyz)
	log.Info("ops server listening", "address", listener.Addr().String())
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second}
	return start(server, func() error { return server.Serve(listener) }), nil
}

func alive(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") }

// check is one condition of readiness.
type check struct {
	name string
	test func(context.Context) error
}

// health is /readyz. Checks are added while the operator is built and already asked.
type health struct {
	mu      sync.Mutex
	checks  []check
	started atomic.Bool
	ending  atomic.Bool
}

func (h *health) add(name string, test func(context.Context) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.checks = append(h.checks, check{name, test})
}

func (h *health) readyz(w http.ResponseWriter, r *http.Request) {
	if err := h.ready(r.Context()); err != nil {
		http.Error(w, "not ready\n"+err.Error(), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}

func (h *health) ready(ctx context.Context) error {
	if h.ending.Load() {
		return errors.New("the operator is ending")
	}
	err := h.able(ctx)
	if !h.started.Load() {
		err = errors.Join(errors.New("the operator is starting"), err)
	}
	return err
}

// able is readiness as far as it doesn't depend on what was already started.
func (h *health) able(ctx context.Context) error {
	h.mu.Lock()
	checks := slices.Clone(h.checks)
	h.mu.Unlock()
	for _, c := range checks { // the later ones make sense only if the earlier hold
		if err := c.test(ctx); err != nil {
			return fmt.Errorf("%s: %s", c.name, strings.TrimSpace(err.Error()))
		}
	}
	return nil
}

// await returns when this replica could answer, at the latest after patience.
func (h *health) await(ctx context.Context, patience time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for h.able(ctx) != nil {
		select {
		case <-ctx.Done():
			return
		case <-time.After(50 * time.Millisecond):
		}
	}
}
