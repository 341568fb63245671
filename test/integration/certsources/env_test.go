package certsources

import (
	"fmt"
	"slices"
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
	return &env{Env: operatortest.New(t, operatortest.Options{Cluster: cluster})}
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
