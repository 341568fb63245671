package probe

import (
	"context"
	"crypto/x509"
	"net"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/pillion-mesh/pillion/internal/controller/servingcert/probe"
)

// TestProbeTellsWhoseLeafItSaw: the name decides, and all pods would still go by the other one.
func TestProbeTellsWhoseLeafItSaw(t *testing.T) {
	w := newWorld(t)
	w.keep("localhost", w.normal, w.candidate)
	a := w.want(probe.ResultOK, w.candidate.fingerprint())
	if a.Replica != replicaName || a.Took <= 0 {
		t.Errorf("%+v", a)
	}
	w.keep("127.0.0.1", w.normal, w.candidate)
	w.want(probe.ResultOK, w.normal.fingerprint())
	if n := w.leases(); n != 0 {
		t.Errorf("%d Leases are stored", n)
	}
}

// TestProbeSeesANewLeafAtOnce: no connection is kept from one probe to the next.
func TestProbeSeesANewLeafAtOnce(t *testing.T) {
	w := newWorld(t)
	w.keep("localhost", w.normal, w.candidate, w.other)
	w.want(probe.ResultOK, w.candidate.fingerprint())
	for i := range 10 {
		next := []*authority{w.other, w.candidate}[i%2]
		w.replica.candidate.Store(next.leaf(t))
		if a := w.probe(); a.Result != probe.ResultOK || a.CA != next.fingerprint() {
			t.Fatalf("probe %d after a change: %+v, want CA %s", i, a, next.fingerprint())
		}
	}
}

func TestProbeIsRefusedForX509(t *testing.T) {
	w := newWorld(t)
	w.keep("localhost", w.normal)
	w.want(probe.ResultX509, "")
	w.keep("localhost", w.normal, w.candidate)
	w.want(probe.ResultOK, w.candidate.fingerprint())
	for name, bad := range map[string]func(*x509.Certificate){
		"expired":       func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) },
		"too early":     func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) },
		"another name":  func(c *x509.Certificate) { c.DNSNames = []string{"pillion-probe.mesh.svc"} },
		"another usage": func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} },
	} {
		w.replica.candidate.Store(w.candidate.leaf(t, bad))
		if a := w.probe(); a.Result != probe.ResultX509 || !strings.Contains(a.Fault.Error(), "x509: ") {
			t.Errorf("%s: %+v", name, a)
		}
	}
}

// TestProbeOfALateReplica: it is the API server that gives up and says so, before the prober does.
func TestProbeOfALateReplica(t *testing.T) {
	w := newWorld(t)
	w.keep("localhost", w.candidate)
	w.want(probe.ResultOK, w.candidate.fingerprint())
	hang := func(ctx context.Context) { <-ctx.Done() }
	w.replica.before.Store(&hang)
	if a := w.probe(); a.Result != probe.ResultTimeout || !strings.Contains(a.Fault.Error(), "failed calling webhook") {
		t.Errorf("no answer: %+v", a)
	}
	w.replica.before.Store(nil)
	ctx, release := context.WithCancel(t.Context())
	dumb := func(context.Context) { <-ctx.Done() } // the handshake's own context ends only with the server's patience
	w.replica.greeting.Store(&dumb)
	a := w.probe()
	release()
	w.replica.greeting.Store(nil)
	if a.Result != probe.ResultTimeout || !strings.Contains(a.Fault.Error(), "failed calling webhook") {
		t.Errorf("no handshake: %+v", a)
	}
	w.want(probe.ResultOK, w.candidate.fingerprint())
}

func TestProbeOfAReplicaThatIsGone(t *testing.T) {
	w := newWorld(t)
	w.keep("localhost", w.candidate)
	w.want(probe.ResultOK, w.candidate.fingerprint())
	w.replica.stop()
	if a := w.probe(); a.Result != probe.ResultOther || !strings.Contains(a.Fault.Error(), "connection refused") {
		t.Errorf("%+v", a)
	}
}

func TestProbeWithoutAConfiguration(t *testing.T) {
	w := newWorld(t)
	if a := w.probe(); a.Result != probe.ResultOther || !strings.Contains(a.Fault.Error(), "didn't call the webhook") {
		t.Errorf("%+v", a)
	}
}

// TestOnlyProbesAreSent: other Leases, among them that of leader election, must not depend on us.
func TestOnlyProbesAreSent(t *testing.T) {
	w := newWorld(t)
	w.keep("localhost", w.candidate)
	w.want(probe.ResultOK, w.candidate.fingerprint())
	calls := w.replica.calls.Load()
	lease := func(namespace string, labels map[string]string) error {
		_, err := w.cluster.Client.CoordinationV1().Leases(namespace).Create(t.Context(), &coordinationv1.Lease{
			ObjectMeta: metav1.ObjectMeta{GenerateName: "x-", Labels: labels}}, metav1.CreateOptions{})
		return err
	}
	must(t, lease(w.namespace, nil))
	must(t, lease(w.namespace, map[string]string{"app.kubernetes.io/name": "pillion"}))
	must(t, lease(w.cluster.Namespace(t), map[string]string{probe.Label: strings.Repeat("a", 32)}))
	if n := w.replica.calls.Load() - calls; n != 0 {
		t.Errorf("%d of them were sent to us", n)
	}
	stored := w.leases()
	if err := lease(w.namespace, map[string]string{probe.Label: strings.Repeat("a", 32)}); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "never stored") {
		t.Errorf("storing one with our label: %v", err)
	}
	if n := w.leases(); n != stored || stored != 2 {
		t.Errorf("%d Leases are stored, were %d; want the 2 ordinary ones", n, stored)
	}
}

// TestProbeOfEachAPIServer: the real one by its address, under the name that all of them have; and one that isn't there.
func TestProbeOfEachAPIServer(t *testing.T) {
	w := newWorld(t)
	w.keep("localhost", w.candidate)
	w.want(probe.ResultOK, w.candidate.fingerprint())
	u, err := url.Parse(w.cluster.Config.Host)
	must(t, err)
	port, err := strconv.ParseInt(u.Port(), 10, 32)
	must(t, err)
	// The API server refuses an EndpointSlice with addresses of the loopback, so it comes from elsewhere.
	w.prober = w.newProber(fake.NewClientBuilder().WithObjects(&discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "kubernetes"},
		Ports:      []discoveryv1.EndpointPort{{Name: new("https"), Port: new(int32(port))}},
		Endpoints:  []discoveryv1.Endpoint{{Addresses: []string{u.Hostname()}}, {Addresses: []string{"127.255.255.254"}}},
	}).Build())
	answers, err := w.prober.Probe(t.Context())
	must(t, err)
	if len(answers) != 2 {
		t.Fatalf("%+v", answers)
	}
	there, gone := answers[0], answers[1]
	if there.Server != u.Host || there.Result != probe.ResultOK || there.CA != w.candidate.fingerprint() {
		t.Errorf("%+v", there)
	}
	if gone.Server != net.JoinHostPort("127.255.255.254", u.Port()) || gone.Reached || gone.Result != probe.ResultOther || gone.Fault == nil {
		t.Errorf("%+v", gone)
	}
	covered, err := w.prober.Cover(t.Context(), []string{replicaName})
	must(t, err)
	if len(covered) != 2 || covered[0].Replica != replicaName {
		t.Errorf("%+v", covered)
	}
}
