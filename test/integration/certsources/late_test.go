package certsources

import (
	"context"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/controller/certmanager"
	"github.com/pillion-mesh/pillion/test/integration/operatortest"
)

// testCertManagerIsInstalledLate: until then what served before keeps serving; then nothing needs to be restarted.
func testCertManagerIsInstalledLate(t *testing.T) {
	e := newEnv(t, bare)
	crds := certManagerCRDs(t)
	t.Cleanup(func() {
		for _, crd := range crds {
			_ = e.Client.Delete(context.Background(), &crd)
		}
	})
	e.serve([]string{"a", "b"})
	before := e.active()
	e.use(fromCertManager(nil))
	e.refused(certmanager.CertManagerMissing, "the API server knows no Issuer of cert-manager.io/v1", "install cert-manager", "source to SelfManaged")
	e.unchanged(before)
	for _, crd := range crds {
		must(t, e.Client.Create(t.Context(), &crd))
	}
	e.refused(certmanager.NotReady, "Certificate "+e.Namespace+"/"+ownCA, "see that its controller runs")
	e.unchanged(before)
	e.use(v1alpha1.DefaultCertificates())
	e.Condition("default", v1alpha1.ConditionCertificatesReady, metav1.ConditionTrue, "Trusted")
	e.left()
	e.done()
}

// certManagerCRDs are those of the cluster that has them.
func certManagerCRDs(t *testing.T) []apiextensionsv1.CustomResourceDefinition {
	t.Helper()
	e := operatortest.New(t, operatortest.Options{Cluster: withCertManager, Shared: true})
	var all apiextensionsv1.CustomResourceDefinitionList
	must(t, e.Client.List(t.Context(), &all))
	var ours []apiextensionsv1.CustomResourceDefinition
	for _, crd := range all.Items {
		if crd.Spec.Group == "cert-manager.io" {
			ours = append(ours, apiextensionsv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: crd.Name}, Spec: crd.Spec})
		}
	}
	return ours
}
