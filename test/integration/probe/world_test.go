package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pillion-mesh/pillion/internal/controller/servingcert/probe"
	"github.com/pillion-mesh/pillion/test/cluster/testenv"
)

const patience = 30 * time.Second

// world is an API server, a replica that it calls, and who probes.
type world struct {
	t         *testing.T
	cluster   *testenv.Cluster
	client    client.Client
	namespace string
	keeper    *probe.Keeper
	prober    *probe.Prober
	replica   *replica

	normal, candidate, other *authority
}

func newWorld(t *testing.T) *world {
	t.Helper()
	c := testenv.Start(t, testenv.Options{Name: clusterName})
	cl, err := client.New(c.Config, client.Options{})
	must(t, err)
	w := &world{t: t, cluster: c, client: cl, namespace: c.Namespace(t),
		normal: newAuthority(t, "normal"), candidate: newAuthority(t, "candidate"), other: newAuthority(t, "other")}
	w.keeper = &probe.Keeper{Client: cl, Live: cl, CRD: func(context.Context) (types.UID, error) { return "", nil }, Log: logr.Discard()}
	w.prober = w.newProber(cl)
	w.replica = newReplica(t, c.Listen(t).Listener, w.normal.leaf(t), w.candidate.leaf(t))
	t.Cleanup(func() {
		if err := cl.DeleteAllOf(context.Background(), &admissionv1.MutatingWebhookConfiguration{}); err != nil {
			t.Errorf("cleaning up: %v", err)
		}
	})
	return w
}

func (w *world) newProber(live client.Reader) *probe.Prober {
	w.t.Helper()
	p, err := probe.New(probe.Options{Config: w.cluster.Config, Live: live, Namespace: w.namespace, Now: time.Now, Metrics: prometheus.NewRegistry()})
	must(w.t, err)
	return p
}

// target leads to the replica under a name of it.
func (w *world) target(host string) probe.Target {
	_, port, err := net.SplitHostPort(w.replica.address)
	must(w.t, err)
	return probe.Target{Service: "pillion", Namespace: w.namespace, Port: 443, URL: "https://" + net.JoinHostPort(host, port)}
}

// keep has the API server call the replica by that name.
func (w *world) keep(host string, trusted ...*authority) {
	w.t.Helper()
	must(w.t, w.keeper.Keep(w.t.Context(), probe.Configuration(w.target(host), bundle(trusted...))))
}

// probe asks the one API server once.
func (w *world) probe() probe.Answer {
	w.t.Helper()
	answers, err := w.prober.Probe(w.t.Context())
	must(w.t, err)
	if len(answers) != 1 || answers[0].Server != w.cluster.Config.Host || !answers[0].Reached {
		w.t.Fatalf("%+v, want the answer of %s", answers, w.cluster.Config.Host)
	}
	return answers[0]
}

// want probes until the result comes: a changed configuration takes API servers a moment.
func (w *world) want(result, ca string) probe.Answer {
	w.t.Helper()
	end := time.Now().Add(patience)
	for {
		a := w.probe()
		if a.Result == result && a.CA == ca && (a.Fault == nil) == (result == probe.ResultOK) {
			return a
		}
		if time.Now().After(end) {
			w.t.Fatalf("%+v, want %s by %q", a, result, ca)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// leases counts those that are stored.
func (w *world) leases() int {
	w.t.Helper()
	list, err := w.cluster.Client.CoordinationV1().Leases(w.namespace).List(w.t.Context(), metav1.ListOptions{})
	must(w.t, err)
	return len(list.Items)
}

// replica is a webhook server whose leaves can be changed while it serves.
type replica struct {
	address           string
	normal, candidate atomic.Pointer[leaf]
	calls             atomic.Int64
	before            atomic.Pointer[func(context.Context)] // what happens before an answer
	greeting          atomic.Pointer[func(context.Context)] // and before a handshake's
	stop              func()
}

const replicaName = "pillion-5d9c-x7k2p"

func newReplica(t *testing.T, listener net.Listener, normal, candidate *leaf) *replica {
	t.Helper()
	r := &replica{address: listener.Addr().String()}
	r.normal.Store(normal)
	r.candidate.Store(candidate)
	answer := probe.Handler(servedCA, replicaName)
	server := &http.Server{
		ErrorLog:  log.New(io.Discard, "", 0), // refused handshakes are what some tests want
		TLSConfig: &tls.Config{GetCertificate: r.certificate, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}},
		ConnContext: func(ctx context.Context, _ net.Conn) context.Context {
			return context.WithValue(ctx, shownKey{}, new(shown))
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
			r.calls.Add(1)
			call(request.Context(), &r.before)
			if request.URL.Path != probe.Path {
				t.Errorf("called at %s", request.URL.Path)
			}
			answer.ServeHTTP(w, request)
		}),
	}
	done := make(chan error, 1)
	go func() { done <- server.ServeTLS(listener, "", "") }()
	r.stop = func() { server.Close() }
	t.Cleanup(func() { r.stop(); <-done })
	return r
}

// shown is the CA of the leaf that one connection was shown.
type shown struct{ ca atomic.Pointer[string] }

type shownKey struct{}

func servedCA(ctx context.Context) string {
	if s, ok := ctx.Value(shownKey{}).(*shown); ok && s.ca.Load() != nil {
		return *s.ca.Load()
	}
	return ""
}

func (r *replica) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	call(hello.Context(), &r.greeting)
	l := r.normal.Load()
	if hello.ServerName == "localhost" {
		l = r.candidate.Load()
	}
	s, ok := hello.Context().Value(shownKey{}).(*shown)
	if !ok {
		return nil, errors.New("the handshake's context isn't its connection's")
	}
	s.ca.Store(&l.ca)
	return &l.tls, nil
}

func call(ctx context.Context, f *atomic.Pointer[func(context.Context)]) {
	if f := f.Load(); f != nil {
		(*f)(ctx)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
