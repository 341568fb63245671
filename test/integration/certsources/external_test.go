package certsources

import (
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/test/integration/operatortest"
)

// external has the webhook configuration come from a chart, and its caBundle from somebody else.
func external(c v1alpha1.Certificates) func(*v1alpha1.Injector) {
	c.CABundle = v1alpha1.BundleExternal
	return func(i *v1alpha1.Injector) {
		i.Spec.Webhook.Mode, i.Spec.Certificates = v1alpha1.WebhookField, c
	}
}

// testExternalBundleByInjector: cert-manager's CA injector replaces the caBundle in one step. By the same CA that costs
// nothing; by another, as long as a replica takes to see it.
func testExternalBundleByInjector(t *testing.T) {
	e := newEnv(t, withCertManager)
	e.apply(meshCA)
	e.Injector(external(fromCertManager(&v1alpha1.IssuerRef{Name: "mesh-ca"})))
	must(t, e.Sync(t.Context(), e.Chart(func(c *admissionv1.MutatingWebhookConfiguration) {
		metav1.SetMetaDataAnnotation(&c.ObjectMeta, "cert-manager.io/inject-ca-from", e.Namespace+"/"+serving)
	})))
	e.run([]string{"a", "b"})
	e.Serving("default")
	e.creating = e.StartCreating(e.Meshed())
	first := e.issued(nil)
	e.changed(v1alpha1.CertificatesCertManager, e.ca(first))

	for range 3 {
		before := e.issued(nil)
		e.Cluster.Renew(t, e.Namespace, serving)
		e.serving(e.issued(before))
	}
	e.done()

	e.creating = e.StartCreating(e.Meshed())
	second := e.renewCA("mesh-ca", "mesh-ca")
	e.serving(e.issued(first))
	changed := time.Now()
	e.changed(v1alpha1.CertificatesCertManager, second)
	e.outage(e.creating.Stop(), changed)
	if e.someMetric(`pillion_serving_cert_rotations_total{result="forced"}`, "1") == nil {
		t.Error("a replica gave up a certificate as if it were ending")
	}
}

// outage wants failures only while the bundle was another CA's, and says how long that was.
func (e *env) outage(failures []operatortest.Failure, over time.Time) {
	e.T.Helper()
	if len(failures) == 0 {
		e.T.Log("no outage")
		return
	}
	begin, end := failures[0].Ended, failures[0].Ended
	for _, f := range failures {
		if !strings.Contains(f.Err.Error(), "x509: ") || f.Began.After(over) {
			e.T.Errorf("a failure of another kind, or when all was over: %v", f)
		}
		if f.Ended.Before(begin) {
			begin = f.Ended
		}
		if f.Ended.After(end) {
			end = f.Ended
		}
	}
	e.T.Logf("outage of %s, %d creations failed: %v", end.Sub(begin).Round(time.Millisecond), len(failures), failures[0])
}
