package probe

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	coordinationv1 "k8s.io/api/coordination/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

// apiServer stands for one behind the wire, whose webhooks are what answer says. The real one is in test/integration/probe.
func apiServer(t *testing.T, answer func(*coordinationv1.Lease) error) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		lease := &coordinationv1.Lease{}
		if err := json.NewDecoder(r.Body).Decode(lease); err != nil || r.URL.Query().Get("dryRun") != "All" || r.URL.Path != "/apis/coordination.k8s.io/v1/namespaces/mesh/leases" {
			http.Error(w, "want a dry run of a Lease in namespace mesh", http.StatusBadRequest)
			return
		}
		var status *apierrors.StatusError
		w.Header().Set("Content-Type", "application/json")
		if err := answer(lease); errors.As(err, &status) {
			status.ErrStatus.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
			w.WriteHeader(int(status.ErrStatus.Code))
			_ = json.NewEncoder(w).Encode(status.ErrStatus)
			return
		}
		lease.APIVersion, lease.Kind = "coordination.k8s.io/v1", "Lease"
		_ = json.NewEncoder(w).Encode(lease)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// by answers as a replica does.
func by(replica string) func(*coordinationv1.Lease) error {
	return func(l *coordinationv1.Lease) error {
		l.Annotations = map[string]string{annotationNonce: l.Labels[Label], annotationReplica: replica, annotationCA: testCA}
		return nil
	}
}

func address(s *httptest.Server) string { return s.Listener.Addr().String() }

// prober asks through one API server and knows of the others, if there are any, by the EndpointSlice.
func prober(t *testing.T, through *httptest.Server, others ...string) *Prober {
	t.Helper()
	builder := fake.NewClientBuilder()
	if len(others) > 0 {
		builder.WithObjects(kubernetes(t, others...))
	}
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: through.Certificate().Raw})
	config := &rest.Config{Host: through.URL, TLSClientConfig: rest.TLSClientConfig{CAData: ca},
		ContentConfig: rest.ContentConfig{ContentType: "application/json"}}
	p, err := New(Options{Config: config, Live: builder.Build(), Namespace: "mesh", Now: time.Now, Metrics: prometheus.NewRegistry()})
	must(t, err)
	return p
}

// kubernetes is the API servers' EndpointSlice; all of them listen on the last one's port.
func kubernetes(t *testing.T, addresses ...string) *discoveryv1.EndpointSlice {
	t.Helper()
	s := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: apiServers.Namespace, Name: apiServers.Name}}
	for _, a := range addresses {
		host, port, err := net.SplitHostPort(a)
		must(t, err)
		n, err := strconv.ParseInt(port, 10, 32)
		must(t, err)
		s.Ports = []discoveryv1.EndpointPort{{Name: new("https"), Port: new(int32(n))}}
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{host}})
	}
	return s
}

func TestProbeThroughTheConfiguredAPIServer(t *testing.T) {
	s := apiServer(t, by("a"))
	p := prober(t, s)
	answers, err := p.Probe(t.Context())
	must(t, err)
	if len(answers) != 1 {
		t.Fatalf("%+v", answers)
	}
	if a := answers[0]; a.Server != s.URL || a.Replica != "a" || a.CA != testCA || a.Result != ResultOK || !a.Reached || a.Fault != nil {
		t.Errorf("%+v", a)
	}
	if n := testutil.ToFloat64(p.metrics.total.WithLabelValues(ResultOK)); n != 1 {
		t.Errorf("pillion_serving_probe_total{result=ok} is %v", n)
	}
	if n := testutil.CollectAndCount(p.metrics.total); n != 4 {
		t.Errorf("pillion_serving_probe_total has %d results, want all 4 from the start", n)
	}
}

func TestProbeSaysWhatWentWrong(t *testing.T) {
	untrusted := apierrors.NewInternalError(errors.New(notCalled + callFails + `Post "https://a": tls: failed to verify certificate: x509: ` + strings.Repeat("long ", 1000)))
	for _, row := range []struct {
		name    string
		answer  func(*coordinationv1.Lease) error
		result  string
		reached bool
		words   string
	}{
		{"not trusted", func(*coordinationv1.Lease) error { return untrusted }, ResultX509, true, "failed to verify"},
		{"not called", func(*coordinationv1.Lease) error { return nil }, ResultOther, true, "didn't call"},
		{"not allowed", func(*coordinationv1.Lease) error {
			return apierrors.NewForbidden(schema.GroupResource{Resource: "leases"}, "", errors.New("no"))
		}, ResultOther, false, "forbidden"},
	} {
		p := prober(t, apiServer(t, row.answer))
		answers, err := p.Probe(t.Context())
		must(t, err)
		a := answers[0]
		if len(answers) != 1 || a.Result != row.result || a.Reached != row.reached || a.CA != "" || a.Fault == nil || !strings.Contains(a.Fault.Error(), row.words) {
			t.Errorf("%s: %+v", row.name, answers)
		}
		if n := len(a.Fault.Error()); n > 2*maxText {
			t.Errorf("%s: the fault has %d bytes", row.name, n)
		}
	}
}

// TestProbeFallsBack: addresses that can't be asked, here for want of the API servers' name in the certificate, leave the
// configured one.
func TestProbeFallsBack(t *testing.T) {
	s := apiServer(t, by("a"))
	answers, err := prober(t, s, address(s)).Probe(t.Context())
	must(t, err)
	if len(answers) != 2 {
		t.Fatalf("%+v", answers)
	}
	direct, through := answers[0], answers[1]
	if direct.Server != address(s) || direct.Reached || direct.Result != ResultOther || !strings.Contains(direct.Fault.Error(), apiServerName) {
		t.Errorf("by address: %+v", direct)
	}
	if through.Server != s.URL || through.Result != ResultOK {
		t.Errorf("as configured: %+v", through)
	}
}

// TestProbeWithoutKnowingTheAPIServers: what may not be asked is not all there is.
func TestProbeWithoutKnowingTheAPIServers(t *testing.T) {
	p := prober(t, apiServer(t, by("a")))
	p.Live = fake.NewClientBuilder().WithInterceptorFuncs(interceptor.Funcs{Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
		return apierrors.NewForbidden(schema.GroupResource{Resource: "endpointslices"}, "kubernetes", errors.New("no"))
	}}).Build()
	answers, err := p.Probe(t.Context())
	must(t, err)
	if len(answers) != 2 || answers[0].Result != ResultOK || answers[1].Reached || !strings.Contains(answers[1].Fault.Error(), "EndpointSlice default/kubernetes") {
		t.Errorf("%+v", answers)
	}
}

func TestProbeEndsWithItsContext(t *testing.T) {
	release := make(chan struct{})
	p := prober(t, apiServer(t, func(*coordinationv1.Lease) error { <-release; return nil }))
	t.Cleanup(func() { close(release) })
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	answers, err := p.Probe(ctx)
	if !errors.Is(err, context.DeadlineExceeded) || len(answers) != 1 || answers[0].Reached || answers[0].Result != ResultTimeout {
		t.Errorf("%+v, %v", answers, err)
	}
}

func TestAddresses(t *testing.T) {
	not := false
	s := kubernetes(t, "10.0.0.2:6443", "10.0.0.1:6443", "10.0.0.2:6443", "[fd00::1]:6443")
	s.Ports = append([]discoveryv1.EndpointPort{{Name: new("other"), Port: new(int32(1))}}, s.Ports...)
	s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{}, discoveryv1.Endpoint{Addresses: []string{"10.0.0.9"}, Conditions: discoveryv1.EndpointConditions{Ready: &not}})
	if got := strings.Join(addressesOf(s), " "); got != "10.0.0.1:6443 10.0.0.2:6443 [fd00::1]:6443" {
		t.Errorf("%s", got)
	}
}

// TestCover: a Service picks replicas as it likes.
func TestCover(t *testing.T) {
	var calls atomic.Int64
	picks := []string{"a", "a", "b", "a", "c", "a"}
	pick := func(l *coordinationv1.Lease) error { return by(picks[int(calls.Add(1)-1)%len(picks)])(l) }
	names := func(answers []Answer) (all string) {
		for _, a := range answers {
			all += a.Replica + ","
		}
		return all
	}
	p := prober(t, apiServer(t, pick))
	answers, err := p.Cover(t.Context(), []string{"a", "b", "c"})
	must(t, err)
	if got := names(answers); got != "a,b,c," || calls.Load() != 5 {
		t.Errorf("answered by %s after %d calls; want each once, and an end with the fifth", got, calls.Load())
	}
	calls.Store(0)
	if answers, err = p.Cover(t.Context(), []string{"a", "gone"}); err != nil || names(answers) != "a,b,c," || calls.Load() != 1+2*perReplica {
		t.Errorf("with a replica that is gone: %s, %d calls, %v", names(answers), calls.Load(), err)
	}
	calls.Store(0)
	if _, err = p.Cover(t.Context(), nil); err != nil || calls.Load() != 1 {
		t.Errorf("without replicas: %d calls, %v", calls.Load(), err)
	}
}

func TestCoverEndsAtTheFirstFailure(t *testing.T) {
	var calls atomic.Int64
	p := prober(t, apiServer(t, func(l *coordinationv1.Lease) error {
		if calls.Add(1) == 2 {
			return apierrors.NewInternalError(errors.New(notCalled + "no"))
		}
		return by("a")(l)
	}))
	answers, err := p.Cover(t.Context(), []string{"a", "b"})
	must(t, err)
	if len(answers) != 2 || answers[0].Fault == nil || answers[1].Replica != "a" || calls.Load() != 2 {
		t.Errorf("%d calls, %+v", calls.Load(), answers)
	}
}
