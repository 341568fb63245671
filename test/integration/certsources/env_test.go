package certsources

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/controller/servingcert/pairs"
	"github.com/pillion-mesh/pillion/test/cluster/testenv"
	"github.com/pillion-mesh/pillion/test/integration/operatortest"
)

var must = operatortest.Must

// env is a cluster with replicas in it.
type env struct {
	*operatortest.Env
	replicas []*operatortest.Replica
	creating *operatortest.Creations
}

func newEnv(t *testing.T, cluster testenv.Options) *env {
	t.Helper()
	return &env{Env: operatortest.New(t, operatortest.Options{Cluster: cluster, Patience: 45 * time.Second})}
}

// serve starts replicas, of an Injector whose certificates are the operator's own, and a client.
func (e *env) serve(names []string, flags ...string) {
	e.T.Helper()
	e.Injector()
	e.run(names, flags...)
	e.Serving("default")
	e.creating = e.StartCreating(e.Meshed())
}

func (e *env) run(names []string, flags ...string) {
	e.T.Helper()
	for _, name := range names {
		e.replicas = append(e.replicas, e.Start(name, append(e.flags(), flags...)...))
	}
	e.Ready(e.replicas...)
}

func (e *env) flags() []string { return []string{e.ProbeFlag(), "--log-level=info"} }

// done ends the client: nothing may have failed.
func (e *env) done() {
	e.T.Helper()
	if failed := e.creating.Stop(); len(failed) > 0 {
		e.T.Errorf("%d creations failed: %v", len(failed), failed[:min(5, len(failed))])
	}
}

// use changes where certificates come from.
func (e *env) use(c v1alpha1.Certificates) {
	e.T.Helper()
	e.UpdateInjector("default", func(i *v1alpha1.Injector) { i.Spec.Certificates = c })
}

func provided(secret string) v1alpha1.Certificates {
	return v1alpha1.Certificates{Source: v1alpha1.CertificatesProvided,
		Provided: v1alpha1.ProvidedCertificates{SecretRef: &v1alpha1.LocalSecret{Name: secret}}}
}

func fromCertManager(issuer *v1alpha1.IssuerRef) v1alpha1.Certificates {
	return v1alpha1.Certificates{Source: v1alpha1.CertificatesCertManager, CertManager: v1alpha1.CertManagerCertificates{IssuerRef: issuer}}
}

func (e *env) secret(name string) *corev1.Secret {
	e.T.Helper()
	s := &corev1.Secret{}
	must(e.T, e.Client.Get(e.Ctx(), client.ObjectKey{Namespace: e.Namespace, Name: name}, s))
	return s
}

// certificates are status.certificates.
func (e *env) certificates() (*v1alpha1.CertificatesStatus, error) {
	inj := &v1alpha1.Injector{}
	if err := e.Client.Get(e.Ctx(), client.ObjectKey{Name: "default"}, inj); err != nil {
		return nil, err
	}
	if inj.Status.Certificates == nil {
		return nil, fmt.Errorf("there is no status.certificates")
	}
	return inj.Status.Certificates, nil
}

// unchanged wants no rotation to have begun.
func (e *env) unchanged(active string) {
	e.T.Helper()
	if now := e.active(); now != active {
		e.T.Errorf("CA %s is active instead of %s", now, active)
	}
	if next, err := e.next(); err == nil {
		e.T.Errorf("CA %s is next", next)
	}
}

// active is the CA that the status says is.
func (e *env) active() string {
	e.T.Helper()
	s, err := e.certificates()
	must(e.T, err)
	for _, ca := range s.CAs {
		if ca.Role == v1alpha1.RoleActive {
			return ca.Fingerprint
		}
	}
	e.T.Fatalf("no CA is active: %+v", s.CAs)
	return ""
}

// changed waits until a CA is the only one, all replicas are seen to serve it, and the status says so.
func (e *env) changed(source v1alpha1.CertificatesSource, ca string) {
	e.T.Helper()
	e.Eventually(fmt.Sprintf("all is of source %s and CA %s", source, ca), func() error {
		s, err := e.certificates()
		if err != nil {
			return err
		}
		others := func(r v1alpha1.ReplicaCertificate) bool { return r.CA != ca || r.Fault != "" }
		if s.Source != source || s.Phase != v1alpha1.PhaseSteady || len(s.CAs) != 1 || s.CAs[0].Role != v1alpha1.RoleActive || s.CAs[0].Fingerprint != ca ||
			len(s.Replicas) != len(e.replicas) || slices.ContainsFunc(s.Replicas, others) {
			return fmt.Errorf("it is %+v", s)
		}
		if own := source == v1alpha1.CertificatesSelfManaged; own != (s.NextRotation != nil) {
			return fmt.Errorf("the next rotation is at %v", s.NextRotation)
		}
		return nil
	})
	e.Condition("default", v1alpha1.ConditionCertificatesReady, metav1.ConditionTrue, "Trusted")
}

// rotates does what leads to another CA, and wants every phase told of, with nobody serving the new CA before it is active.
func (e *env) rotates(source v1alpha1.CertificatesSource, cause func() (ca string)) (ca string) {
	e.T.Helper()
	before := e.active()
	history := e.watch()
	ca = cause()
	e.Eventually("a metric tells of the hold", func() error { return e.someMetric(`pillion_serving_cert_phase{phase="Propagate"}`, "1") })
	e.changed(source, ca)
	e.judge(history(), before, ca)
	return ca
}

// rotatesBack has the operator make a CA of its own again.
func (e *env) rotatesBack() {
	e.T.Helper()
	e.rotates(v1alpha1.CertificatesSelfManaged, func() string {
		e.use(v1alpha1.DefaultCertificates())
		next := ""
		e.Eventually("there is another CA", func() (err error) {
			next, err = e.next()
			return err
		})
		return next
	})
}

// next is the CA that the status says is.
func (e *env) next() (string, error) {
	s, err := e.certificates()
	if err != nil {
		return "", err
	}
	for _, ca := range s.CAs {
		if ca.Role == v1alpha1.RoleNext {
			return ca.Fingerprint, nil
		}
	}
	return "", fmt.Errorf("there is none: %+v", s.CAs)
}

// someMetric is an error unless some replica has a sample.
func (e *env) someMetric(sample, want string) error {
	var seen []string
	for _, r := range e.replicas {
		value, err := r.Metric(e.Ctx(), sample)
		if err == nil && value == want {
			return nil
		}
		seen = append(seen, fmt.Sprint(r.Name, ": ", value, " ", err))
	}
	return fmt.Errorf("%s is %q", sample, seen)
}

// look is a status, and when it was seen.
type look struct {
	*v1alpha1.CertificatesStatus
	after time.Duration
}

// watch keeps every status from now on. A watch of the API server's may end at any time; a look each 50 ms doesn't.
func (e *env) watch() (end func() []look) {
	ctx, cancel := context.WithCancel(e.Ctx())
	start := time.Now()
	var all []look
	done := make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(50 * time.Millisecond)
		defer ticker.Stop()
		for ctx.Err() == nil {
			if s, err := e.certificates(); err == nil {
				all = append(all, look{s, time.Since(start)})
			}
			select {
			case <-ticker.C:
			case <-ctx.Done():
			}
		}
	}()
	return func() []look {
		cancel()
		<-done
		return all
	}
}

// judge wants the phases in order, and in those in which replicas hold on to the old CA nobody with the new one.
func (e *env) judge(history []look, before, after string) {
	e.T.Helper()
	var phases, told []string
	for _, s := range history {
		if len(phases) == 0 || phases[len(phases)-1] != s.Phase {
			phases = append(phases, s.Phase)
			told = append(told, fmt.Sprintf("%s after %.1fs", s.Phase, s.after.Seconds()))
		}
		if s.Phase != v1alpha1.PhaseIntroduce && s.Phase != v1alpha1.PhasePropagate {
			continue
		}
		want := map[string]string{v1alpha1.RoleActive: before, v1alpha1.RoleNext: after}
		for _, ca := range s.CAs {
			if want[ca.Role] != "" && want[ca.Role] != ca.Fingerprint {
				e.T.Errorf("in phase %s, %s is %s; want %s", s.Phase, ca.Role, ca.Fingerprint, want[ca.Role])
			}
		}
		for _, r := range s.Replicas {
			if r.CA != before {
				e.T.Errorf("in phase %s, replica %s serves %s", s.Phase, r.Name, r.CA)
			}
		}
	}
	e.T.Logf("to %s: %s", after, strings.Join(told, ", "))
	for _, phase := range []string{v1alpha1.PhasePropagate, v1alpha1.PhaseRetire, v1alpha1.PhaseSteady} {
		if !slices.Contains(phases, phase) {
			e.T.Errorf("the status told of phases %v only", phases)
		}
	}
}

// serving waits until every replica shows the certificate that a Secret has.
func (e *env) serving(s *corev1.Secret) {
	e.T.Helper()
	pair, err := pairs.FromSecret(s, nil, time.Now())
	must(e.T, err)
	for _, r := range e.replicas {
		e.Eventually("replica "+r.Name+" serves what is in Secret "+s.Name, func() error { return e.shows(r, pair) })
	}
}

func (e *env) shows(r *operatortest.Replica, want *pairs.Pair) error {
	leaf, err := r.Presented(e.Ctx(), "pillion."+e.Namespace+".svc")
	if err == nil && !leaf.Equal(want.Certificate.Leaf) {
		err = fmt.Errorf("it serves one of %s from %s", leaf.Issuer, leaf.NotBefore)
	}
	return err
}

// refused waits until the status says why something isn't served; all replicas go on with what they had.
func (e *env) refused(reason string, parts ...string) {
	e.T.Helper()
	inj := e.Condition("default", v1alpha1.ConditionCertificatesReady, metav1.ConditionFalse, reason)
	if c := meta.FindStatusCondition(inj.Status.Conditions, v1alpha1.ConditionCertificatesReady); !operatortest.ContainsAll(c.Message, parts) {
		e.T.Errorf("%s: the message %q lacks some of %q", reason, c.Message, parts)
	}
	e.Ready(e.replicas...)
	e.creating.More()
}

// ca is the fingerprint of a pair's CA.
func (e *env) ca(s *corev1.Secret) string {
	e.T.Helper()
	pair, err := pairs.FromSecret(s, nil, time.Now())
	must(e.T, err)
	return v1alpha1.Fingerprint(pair.CA.Raw)
}
