package servingcert

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/controller/servingcert/replicas"
	"github.com/pillion-mesh/pillion/internal/istio"
)

// world is an API server and a clock for some replicas.
type world struct {
	t      *testing.T
	api    client.WithWatch
	now    time.Time
	leader string

	published []byte
}

func newWorld(t *testing.T) *world {
	return &world{t: t, api: fake.NewClientBuilder().Build(), now: start, leader: "a"}
}

func (w *world) replica(name string) *Controller {
	w.t.Helper()
	c, err := New(Options{Service: "pillion", Namespace: "pillion-system", ClusterDomain: "cluster.local"}, Deps{
		Client: w.api, Live: w.api, Leader: func() bool { return w.leader == name }, Now: func() time.Time { return w.now },
		Jitter: func() float64 { return 0.5 }, Log: logr.Discard(), Metrics: prometheus.NewRegistry(),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func (w *world) step(replicas ...*Controller) {
	w.t.Helper()
	for _, c := range replicas {
		w.must(c.Step(context.Background()))
		select {
		case q := <-c.eyes.questions: // what Start does beside
			c.answer(context.Background(), q)
		default:
		}
	}
}

func (w *world) secret() *corev1.Secret {
	w.t.Helper()
	s := &corev1.Secret{}
	if err := w.api.Get(context.Background(), client.ObjectKey{Namespace: "pillion-system", Name: "pillion-serving-ca"}, s); err != nil {
		w.t.Fatal(err)
	}
	return s
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// publish puts a replica's bundle into a webhook configuration, as the injector controller does.
func (w *world) publish(caBundle []byte) {
	w.t.Helper()
	w.published = caBundle
	w.publishTo("pillion-injector-default", caBundle)
}

func (w *world) publishTo(name string, caBundle []byte) {
	w.t.Helper()
	ctx := context.Background()
	configuration := &admissionv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: name,
		Labels: map[string]string{LabelInjector: "default"}},
		Webhooks: []admissionv1.MutatingWebhook{{Name: "namespace.injector.pillion.dev", ClientConfig: admissionv1.WebhookClientConfig{CABundle: caBundle,
			Service: &admissionv1.ServiceReference{Namespace: "pillion-system", Name: "pillion"}}}}}
	if err := w.api.Create(ctx, configuration.DeepCopy()); err == nil {
		return
	}
	live := &admissionv1.MutatingWebhookConfiguration{}
	w.must(w.api.Get(ctx, client.ObjectKeyFromObject(configuration), live))
	live.Webhooks = configuration.Webhooks
	w.must(w.api.Update(ctx, live))
}

// trusted checks the one rule: a bundle covers the leaf a replica serves.
func (w *world) trusted(caBundle []byte, c *Controller) {
	w.t.Helper()
	e := entry{server: "pillion.pillion-system.svc", caBundle: caBundle}
	if len(caBundle) == 0 {
		return // nothing is published yet
	}
	w.must(e.verify(c.leaf.Load(), w.now))
}

func TestReplicasShareTheCAAndNotTheLeaf(t *testing.T) {
	w := newWorld(t)
	a, b := w.replica("a"), w.replica("b")
	w.step(a, b)
	if !bytes.Equal(a.Bundle(), b.Bundle()) {
		t.Error("the bundles differ")
	}
	if a.leaf.Load().crt.Equal(b.leaf.Load().crt) {
		t.Error("the leaves don't")
	}
	s := w.secret()
	if len(s.Data) != 2 || s.Annotations[v1alpha1.AnnotationPhase] != "Steady" || s.Annotations[v1alpha1.AnnotationRotation] != "0" {
		t.Errorf("Secret: data %v, annotations %v", len(s.Data), s.Annotations)
	}
}

func TestDeletedAndSpoiltSecretsComeBackFromMemory(t *testing.T) {
	w := newWorld(t)
	a := w.replica("a")
	w.step(a)
	before, leaf := w.secret(), a.leaf.Load()
	w.must(w.api.Delete(context.Background(), before.DeepCopy()))
	w.step(a)
	spoilt := w.secret()
	spoilt.Data[keyActiveKey] = []byte("garbage")
	w.must(w.api.Update(context.Background(), spoilt))
	w.step(a)
	if !bytes.Equal(w.secret().Data[keyActiveKey], before.Data[keyActiveKey]) {
		t.Error("another CA")
	}
	if a.leaf.Load() != leaf {
		t.Error("the leaf changed for no reason")
	}
}

// ask writes the annotation that asks for a rotation.
func (w *world) ask(request string) {
	w.t.Helper()
	s := w.secret()
	s.Annotations[v1alpha1.AnnotationRotate] = request
	w.must(w.api.Update(context.Background(), s))
}

// live lets d pass, look by look, and checks the one rule at each.
func (w *world) live(d time.Duration, leader *Controller, others ...*Controller) {
	w.t.Helper()
	for end := w.now.Add(d); w.now.Before(end); w.now = w.now.Add(time.Second) {
		w.step(leader)
		w.publish(leader.Bundle())
		w.step(others...)
		for _, c := range append(others, leader) {
			w.trusted(w.published, c)
		}
	}
}

func TestARotation(t *testing.T) {
	w := newWorld(t)
	a, b := w.replica("a"), w.replica("b")
	w.step(a, b)
	w.publish(a.Bundle())
	old := a.leaf.Load().id
	w.ask("true")
	w.live(2*time.Second, a, b)
	s := w.secret()
	if s.Annotations[v1alpha1.AnnotationPhase] != v1alpha1.PhasePropagate || s.Annotations[v1alpha1.AnnotationRotate] != "" || len(s.Data) != 4 {
		t.Fatalf("Secret: %d keys, annotations %v", len(s.Data), s.Annotations)
	}
	if shown := b.shown.Load(); shown == nil || shown.id == old || b.leaf.Load().id != old {
		t.Error("under the probe's name there isn't the leaf that comes, or elsewhere not the one that is served")
	}
	w.live(110*time.Second, a, b) // without a probe or a look at replicas it takes longer
	if a.leaf.Load().id != old {
		t.Error("served before slower API servers could know it")
	}
	w.live(50*time.Second, a, b)
	if a.leaf.Load().id == old || b.leaf.Load().id != a.leaf.Load().id {
		t.Error("the new CA isn't served")
	}
	if s := w.secret(); s.Annotations[v1alpha1.AnnotationPhase] != v1alpha1.PhasePromote || s.Data[keyPrevCert] == nil || len(s.Data) != 3 {
		t.Errorf("Secret: %d keys, annotations %v", len(s.Data), s.Annotations)
	}
}

func TestACompromisedCAIsGoneWhenAllHaveChangedOver(t *testing.T) {
	w := newWorld(t)
	a, b := w.replica("a"), w.replica("b")
	a.Replicas, b.Replicas = looks{a, b}, looks{a, b}
	w.step(a, b)
	w.publish(a.Bundle())
	old := a.leaf.Load().ca
	w.ask("compromised")
	w.live(90*time.Second, a, b)
	s := w.secret()
	if s.Annotations[v1alpha1.AnnotationPhase] != v1alpha1.PhaseSteady || s.Annotations[annotationKind] != "" || len(s.Data) != 2 {
		t.Errorf("Secret: %d keys, annotations %v", len(s.Data), s.Annotations)
	}
	if bytes.Contains(a.Bundle(), encodeCertificate(old)) {
		t.Error("the compromised CA is still trusted")
	}
	if n := testutil.ToFloat64(a.metrics.rotations.WithLabelValues("completed")); n != 1 {
		t.Errorf("%v rotations were completed", n)
	}
}

// looks are replicas that can be seen.
type looks []*Controller

func (l looks) Look(context.Context) ([]replicas.Served, error) {
	var all []replicas.Served
	for i, c := range l {
		if served := c.leaf.Load(); served != nil {
			all = append(all, replicas.Served{Name: fmt.Sprintf("pillion-%d", i), Leaf: served.crt})
		}
	}
	return all, nil
}

// TestAnotherCAInTheSecret: what somebody else puts there is no rotation, and what served before keeps serving.
func TestAnotherCAInTheSecret(t *testing.T) {
	w := newWorld(t)
	a, b := w.replica("a"), w.replica("b")
	w.step(a, b)
	w.publish(a.Bundle())
	first := a.leaf.Load().id
	theirs := &authority{Cert: ca(t, 1000*time.Hour).Cert}
	s := w.secret()
	s.Data[keyActiveCert] = encodeCertificate(theirs.Cert)
	delete(s.Data, keyActiveKey)
	w.must(w.api.Update(context.Background(), s))
	w.live(3*time.Minute, a, b)
	if a.leaf.Load().id != first || a.remembered().Active.ID != first {
		t.Error("it is served, or about to be")
	}
}

func TestTimeJumps(t *testing.T) {
	w := newWorld(t)
	var told string
	a := w.replica("a")
	a.Event = func(_, reason, _ string) { told = reason }
	w.step(a)
	first := w.secret().Data[keyActiveCert]
	w.now = w.now.Add(10 * time.Hour)
	w.step(a)
	w.now = w.now.Add(10 * time.Hour) // two thirds of a day are gone
	w.step(a)
	if !a.leaf.Load().crt.NotAfter.After(start.Add(40 * time.Hour)) {
		t.Error("the leaf wasn't renewed")
	}
	w.now = w.now.Add(-22 * time.Hour)
	w.step(a)
	if !bytes.Equal(w.secret().Data[keyActiveCert], first) {
		t.Error("a clock that went back cost the CA")
	}
	w.now = start.Add(400 * 24 * time.Hour) // a long suspend: everything has expired
	w.step(a)
	w.trusted(a.Bundle(), a)
	if told != "ServingCARecovered" || testutil.ToFloat64(a.metrics.rotations.WithLabelValues("recovered")) != 1 {
		t.Errorf("Event %q", told)
	}
}

func TestFollowerWaitsForTheLeaderToReplaceASpoiltCA(t *testing.T) {
	w := newWorld(t)
	w.must(w.api.Create(context.Background(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "pillion-system", Name: "pillion-serving-ca"}}))
	follower, leader := w.replica("b"), w.replica("a")
	if err := follower.Step(context.Background()); err == nil {
		t.Error("the follower says all is well")
	}
	if err := follower.Ready(context.Background()); err == nil {
		t.Error("the follower is ready without a certificate")
	}
	w.step(leader, follower)
	w.trusted(leader.Bundle(), follower)
	w.must(follower.Ready(context.Background()))
}

func TestReadyFollowsTheLiveBundles(t *testing.T) {
	w := newWorld(t)
	a := w.replica("a")
	w.step(a)
	w.must(a.Ready(context.Background())) // nothing is written yet
	w.publish(a.Bundle())
	w.must(a.Ready(context.Background()))
	w.publish(encodeCertificate(ca(t, time.Hour).Cert))
	w.must(a.Ready(context.Background()))
	w.now = w.now.Add(31 * time.Second)
	w.step(a)
	if err := a.Ready(context.Background()); err == nil {
		t.Error("ready although the API server can't verify us")
	}
	if v := testutil.ToFloat64(a.metrics.inSync.WithLabelValues("pillion-injector-default")); v != 0 {
		t.Errorf("pillion_cabundle_in_sync %v", v)
	}
}

// TestReadyIfAnyAPIServerCouldCallUs: what somebody else wrote, what was left over and what can't be written say nothing
// of this replica, but what they say is told.
func TestReadyIfAnyAPIServerCouldCallUs(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	a := w.replica("a")
	a.Claimed = func(configuration string) bool { return configuration != "somebody-elses" }
	w.step(a)
	wrong := encodeCertificate(ca(t, time.Hour).Cert)
	w.publishTo("somebody-elses", wrong)
	if err := a.Ready(ctx); err != nil {
		t.Errorf("a configuration that no Injector claims keeps us from being ready: %v", err)
	}
	w.publish(a.Bundle())
	w.publishTo("pillion-injector-unwritable", wrong)
	if err := a.Ready(ctx); err != nil {
		t.Errorf("one configuration of several keeps us from being ready: %v", err)
	}
	for configuration, want := range map[string]float64{"somebody-elses": 0, "pillion-injector-unwritable": 0, "pillion-injector-default": 1} {
		if v := testutil.ToFloat64(a.metrics.inSync.WithLabelValues(configuration)); v != want {
			t.Errorf("pillion_cabundle_in_sync of %s is %v, want %v", configuration, v, want)
		}
	}
	w.must(a.Trusted(ctx, "pillion-injector-default"))
	if err := a.Trusted(ctx, "pillion-injector-unwritable"); err == nil {
		t.Error("Trusted says nothing of a caBundle that doesn't verify us")
	}

	w.must(w.api.Delete(ctx, &admissionv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "pillion-injector-default"}}))
	w.publishTo("somebody-elses", a.Bundle())
	w.must(a.Ready(ctx)) // for a while
	w.now = w.now.Add(31 * time.Second)
	w.step(a)
	if err := a.Ready(ctx); err == nil {
		t.Error("ready although no configuration of an Injector verifies us")
	}
	if n := testutil.CollectAndCount(a.metrics.inSync); n != 2 {
		t.Errorf("pillion_cabundle_in_sync has %d series after one of three configurations was deleted", n)
	}
}

// TestUntrustedHandshakeIsCounted runs a real server against a client that knows another CA, as an API server would.
// TestTwoOperatorsOnOneHost: each judges the webhooks of its own revisions only, whatever the other's hold.
func TestTwoOperatorsOnOneHost(t *testing.T) {
	ctx := context.Background()
	const address = "https://injector.example/inject"
	for _, row := range []struct {
		name, revision string // "-": the configuration has no such label
		ready          bool
	}{{"the other's", "stable", true}, {"ours", "canary", false}, {"who knows whose", "-", false}} {
		w := newWorld(t)
		a := w.replica("a")
		a.Hosts = []string{"injector.example"}
		a.Serves = func(revision string) bool { return revision == "canary" }
		w.step(a)
		labels := map[string]string{LabelInjector: "x", istio.LabelRevision: row.revision}
		if row.revision == "-" {
			delete(labels, istio.LabelRevision)
		}
		w.must(w.api.Create(ctx, &admissionv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "pillion-injector-x", Labels: labels},
			Webhooks: []admissionv1.MutatingWebhook{{Name: "namespace.injector.pillion.dev", ClientConfig: admissionv1.WebhookClientConfig{
				URL: new(address), CABundle: encodeCertificate(ca(t, time.Hour).Cert)}}}}))
		if err := a.Ready(ctx); (err == nil) != row.ready {
			t.Errorf("a webhook of this host that holds another CA, %s: Ready is %v", row.name, err)
		}
		if n := testutil.CollectAndCount(a.metrics.inSync); (n == 0) != row.ready {
			t.Errorf("%s: pillion_cabundle_in_sync has %d series", row.name, n)
		}
		if err := a.Trusted(ctx, "pillion-injector-x"); (err == nil) != row.ready {
			t.Errorf("%s: Trusted is %v", row.name, err)
		}
	}
}

func TestUntrustedHandshakeIsCounted(t *testing.T) {
	w := newWorld(t)
	w.now = time.Now()
	a := w.replica("a")
	poked := make(chan struct{}, 8)
	a.Changed = func() { poked <- struct{}{} }
	w.step(a)
	<-poked
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	w.must(err)
	server := &http.Server{Handler: http.NotFoundHandler(), ErrorLog: a.ErrorLog(), TLSConfig: &tls.Config{GetCertificate: a.GetCertificate}}
	done := make(chan error, 1)
	go func() { done <- server.ServeTLS(listener, "", "") }()
	t.Cleanup(func() { server.Close(); <-done })

	dial := func(roots []byte) error {
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(roots)
		c, err := tls.Dial("tcp", listener.Addr().String(), &tls.Config{RootCAs: pool, ServerName: "pillion.pillion-system.svc"})
		if err != nil {
			return err
		}
		_, err = io.WriteString(c, "GET / HTTP/1.0\r\n\r\n")
		c.Close()
		return err
	}
	w.must(dial(a.Bundle()))
	other, err := newCA("pillion", time.Hour, w.now)
	w.must(err)
	if err := dial(encodeCertificate(other.Cert)); err == nil {
		t.Fatal("a client with another CA trusts us")
	}
	select {
	case <-poked:
	case <-time.After(10 * time.Second):
		t.Fatal("nobody looks at the bundles")
	}
	if n := testutil.ToFloat64(a.metrics.handshakes.WithLabelValues(handshakeBadCertificate)); n != 1 {
		t.Errorf("pillion_tls_handshake_errors_total{reason=bad_certificate} is %v", n)
	}
}

// TestManyUntrustedHandshakesAreOneAlarm: anybody who reaches the port can make handshakes fail.
func TestManyUntrustedHandshakesAreOneAlarm(t *testing.T) {
	w := newWorld(t)
	a := w.replica("a")
	poked := 0
	a.Changed = func() { poked++ }
	for range 100 {
		a.ErrorLog().Print("http: TLS handshake error from 10.0.0.1:1: remote error: tls: bad certificate")
	}
	if poked != 1 {
		t.Errorf("100 failed handshakes at once asked for %d looks, want 1", poked)
	}
	w.now = w.now.Add(time.Second)
	a.ErrorLog().Print("http: TLS handshake error from 10.0.0.1:1: remote error: tls: unknown certificate authority")
	if poked != 2 {
		t.Errorf("one a second later made that %d, want 2", poked)
	}
	if n := testutil.ToFloat64(a.metrics.handshakes.WithLabelValues(handshakeBadCertificate)); n != 100 {
		t.Errorf("%v were counted, want all 100", n)
	}
}

func TestStartEnds(t *testing.T) {
	w := newWorld(t)
	a := w.replica("a")
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Start(ctx) }()
	a.Wake()
	cancel()
	select {
	case err := <-done:
		w.must(err)
	case <-time.After(10 * time.Second):
		t.Fatal("it goes on")
	}
}
