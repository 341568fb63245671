package certmanager

import (
	"slices"
	"strings"
	"testing"
	"time"

	cmv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/controller/certmanager"
)

// cert-manager may be installed, in any order and after us, removed, and installed again: one client sees each.
func TestCRDsComeAndGo(t *testing.T) {
	e := newEnv(t).withRole()
	e.removeCRDs()
	for range 2 {
		e.becomes(e.want(), certmanager.CertManagerMissing, "cert-manager.io/v1", "install cert-manager")
		must(t, certmanager.Remove(t.Context(), e.operator, e.namespace, "pillion", nil))
		e.installCRD("issuers")
		e.becomes(e.want(), certmanager.CertManagerMissing, "no Certificate of")
		e.withCRDs()
		e.becomes(e.want(), certmanager.NotReady, "Certificate "+e.namespace+"/pillion-ca isn't ready: cert-manager hasn't looked at it yet")
		e.removeCRDs()
	}
}

func TestAChainOfOurOwn(t *testing.T) {
	e := newEnv(t).withRole().withCRDs()
	e.becomes(e.want(), certmanager.NotReady, "pillion-ca")
	for _, name := range []string{"pillion-selfsigned", "pillion-ca"} {
		if !e.exists(&cmv1.Issuer{}, name) {
			t.Errorf("no Issuer %s", name)
		}
	}
	ca, serving := e.certificate("pillion-ca"), e.certificate("pillion-serving")
	if !ca.Spec.IsCA || ca.Spec.IssuerRef.Name != "pillion-selfsigned" || ca.Spec.SecretName != "pillion-ca-tls" {
		t.Errorf("CA %+v", ca.Spec)
	}
	if serving.Spec.IssuerRef.Name != "pillion-ca" || serving.Spec.SecretName != "pillion-serving-tls" || serving.Spec.RenewBefore.Duration != 240*time.Hour {
		t.Errorf("serving %+v", serving.Spec)
	}
	if m := serving.ManagedFields[0]; m.Manager != certmanager.FieldManager || m.Operation != metav1.ManagedFieldsOperationApply {
		t.Errorf("managed by %s, %s", m.Manager, m.Operation)
	}
}

// version is the sum of all versions of our objects: it stays where nothing is written.
func (e *env) version() string {
	e.Helper()
	var all []string
	for name, object := range map[string]client.Object{"pillion-selfsigned": &cmv1.Issuer{}, "pillion-ca": &cmv1.Issuer{}} {
		must(e.T, e.admin.Get(e.Context(), client.ObjectKey{Namespace: e.namespace, Name: name}, object))
		all = append(all, object.GetResourceVersion())
	}
	all = append(all, e.certificate("pillion-ca").ResourceVersion, e.certificate("pillion-serving").ResourceVersion)
	slices.Sort(all)
	return strings.Join(all, " ")
}

func TestOnlyDifferencesAreWritten(t *testing.T) {
	e := newEnv(t).withRole().withCRDs()
	e.becomes(e.want(), certmanager.NotReady)
	serving := e.certificate("pillion-serving")
	serving.Labels["theirs"], serving.Spec.AdditionalOutputFormats = "yes", []cmv1.CertificateAdditionalOutputFormat{{Type: cmv1.CertificateOutputFormatDER}}
	must(t, e.admin.Update(t.Context(), serving))
	before := e.version()
	same := e.want()
	slices.Reverse(same.DNSNames)
	e.keep(e.want())
	e.keep(same)
	if after := e.version(); after != before {
		t.Errorf("written though nothing of ours differs: %s, then %s", before, after)
	}
	serving = e.certificate("pillion-serving")
	serving.Spec.DNSNames, serving.Spec.Duration, serving.Labels["app.kubernetes.io/name"] = []string{"elsewhere"}, &metav1.Duration{Duration: 2000 * time.Hour}, "x"
	must(t, e.admin.Update(t.Context(), serving))
	more := e.want()
	more.DNSNames = append(more.DNSNames, "another.example")
	e.keep(more)
	serving = e.certificate("pillion-serving")
	if !slices.Contains(serving.Spec.DNSNames, "another.example") || len(serving.Spec.DNSNames) != 3 || serving.Spec.Duration.Duration != 720*time.Hour {
		t.Errorf("not put right: %+v", serving.Spec)
	}
	if serving.Labels["theirs"] != "yes" || len(serving.Spec.AdditionalOutputFormats) != 1 || serving.Labels["app.kubernetes.io/name"] != "pillion" {
		t.Errorf("what others added is gone: %+v", serving)
	}
}

// setReady writes what cert-manager would.
func (e *env) setReady(name string, status cmmeta.ConditionStatus, generation int64, message string) {
	e.Helper()
	c := e.certificate(name)
	c.Status.Conditions = []cmv1.CertificateCondition{{Type: cmv1.CertificateConditionReady, Status: status, Reason: "Test", Message: message, ObservedGeneration: generation}}
	must(e.T, e.admin.Status().Update(e.Context(), c))
}

func TestWhatCertManagerSays(t *testing.T) {
	e := newEnv(t).withRole().withCRDs()
	w := e.want()
	e.becomes(w, certmanager.NotReady, "pillion-ca")
	e.setReady("pillion-ca", cmmeta.ConditionFalse, 1, "Issuing certificate as Secret does not exist")
	e.becomes(w, certmanager.NotReady, "pillion-ca isn't ready: Issuing certificate as Secret does not exist")
	e.setReady("pillion-ca", cmmeta.ConditionTrue, 1, "")
	e.becomes(w, certmanager.NotReady, "pillion-serving isn't ready: cert-manager hasn't looked at it yet")
	e.setReady("pillion-serving", cmmeta.ConditionTrue, 1, "")
	e.becomes(w, "")
	w.DNSNames = append(w.DNSNames, "another.example")
	e.becomes(w, certmanager.NotReady, "pillion-serving isn't ready: cert-manager hasn't looked at its latest change")
	e.setReady("pillion-serving", cmmeta.ConditionTrue, 2, "")
	e.becomes(w, "")
	c := e.certificate("pillion-serving")
	c.Status.Conditions = append(c.Status.Conditions[:0],
		cmv1.CertificateCondition{Type: cmv1.CertificateConditionReady, Status: cmmeta.ConditionFalse, Message: "Expired yesterday", ObservedGeneration: 2},
		cmv1.CertificateCondition{Type: cmv1.CertificateConditionIssuing, Status: cmmeta.ConditionFalse, Reason: "Failed", Message: "The vault is sealed"})
	must(t, e.admin.Status().Update(t.Context(), c))
	e.becomes(w, certmanager.NotReady, "Expired yesterday; The vault is sealed")
}

func TestTheUsersIssuer(t *testing.T) {
	e := newEnv(t).withRole().withCRDs()
	w := e.want()
	w.IssuerRef = &v1alpha1.IssuerRef{Name: "mesh-ca"}
	e.becomes(w, certmanager.IssuerNotFound, "issuerRef: there is no Issuer "+e.namespace+"/mesh-ca", "create it")
	if ref := e.certificate("pillion-serving").Spec.IssuerRef; ref != (cmmeta.IssuerReference{Name: "mesh-ca", Kind: "Issuer", Group: "cert-manager.io"}) {
		t.Errorf("issuerRef %+v", ref)
	}
	if e.exists(&cmv1.Issuer{}, "pillion-ca") || e.exists(&cmv1.Certificate{}, "pillion-ca") {
		t.Error("a CA of our own was made")
	}
	issuer := &cmv1.Issuer{ObjectMeta: metav1.ObjectMeta{Namespace: e.namespace, Name: "mesh-ca"}, Spec: cmv1.IssuerSpec{IssuerConfig: cmv1.IssuerConfig{CA: &cmv1.CAIssuer{SecretName: "absent"}}}}
	must(t, e.admin.Create(t.Context(), issuer))
	issuer.Status.Conditions = []cmv1.IssuerCondition{{Type: cmv1.IssuerConditionReady, Status: cmmeta.ConditionFalse, Message: "secret absent not found"}}
	must(t, e.admin.Status().Update(t.Context(), issuer))
	e.becomes(w, certmanager.NotReady, "pillion-serving isn't ready", "Issuer mesh-ca: secret absent not found")
	w.IssuerRef = &v1alpha1.IssuerRef{Name: "ours", Kind: "AWSPCAClusterIssuer", Group: "awspca.cert-manager.io"}
	e.setReady("pillion-serving", cmmeta.ConditionFalse, 1, "The access was denied")
	e.becomes(w, certmanager.NotReady, "The access was denied")
}

// The operator may not read ClusterIssuers; the CertificateRequest tells. Who may read them is told more.
func TestAClusterIssuerThatIsntThere(t *testing.T) {
	e := newEnv(t).withRole().withCRDs()
	w := e.want()
	w.IssuerRef = &v1alpha1.IssuerRef{Name: "absent", Kind: "ClusterIssuer"}
	e.becomes(w, certmanager.NotReady)
	e.setReady("pillion-serving", cmmeta.ConditionFalse, 1, "Issuing certificate as Secret does not exist")
	for i, message := range []string{"of the one before", `Referenced "ClusterIssuer" not found: clusterissuer.cert-manager.io "absent" not found`} {
		e.request("pillion-serving", i, message)
	}
	e.becomes(w, certmanager.NotReady, "Secret does not exist; CertificateRequest pillion-serving-1: Referenced \"ClusterIssuer\" not found", `"absent" not found`)
	admin := *e
	admin.operator = e.admin
	admin.becomes(w, certmanager.IssuerNotFound, "there is no ClusterIssuer absent")
}

// request is one of a Certificate's, a second later than the one before.
func (e *env) request(certificate string, i int, message string) {
	e.Helper()
	if i > 0 {
		time.Sleep(time.Second) // creation times have seconds
	}
	of := e.certificate(certificate)
	r := &cmv1.CertificateRequest{ObjectMeta: metav1.ObjectMeta{Namespace: e.namespace, Name: certificate + "-" + string(rune('0'+i)),
		OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(of, cmv1.SchemeGroupVersion.WithKind("Certificate"))}},
		Spec: cmv1.CertificateRequestSpec{Request: []byte("x"), IssuerRef: of.Spec.IssuerRef}}
	must(e.T, e.admin.Create(e.Context(), r))
	r.Status.Conditions = []cmv1.CertificateRequestCondition{{Type: cmv1.CertificateRequestConditionReady, Status: cmmeta.ConditionFalse, Reason: "Pending", Message: message}}
	must(e.T, e.admin.Status().Update(e.Context(), r))
}

// Somebody's Issuer of our name is left as it is, and told of.
func TestAnothersObjectIsLeftAlone(t *testing.T) {
	e := newEnv(t).withRole().withCRDs()
	theirs := &cmv1.Issuer{ObjectMeta: metav1.ObjectMeta{Namespace: e.namespace, Name: "pillion-ca"}, Spec: cmv1.IssuerSpec{IssuerConfig: cmv1.IssuerConfig{CA: &cmv1.CAIssuer{SecretName: "theirs"}}}}
	must(t, e.admin.Create(t.Context(), theirs))
	e.becomes(e.want(), certmanager.NotOurs, "Issuer "+e.namespace+"/pillion-ca", certmanager.LabelService, `"pillion"`)
	must(t, certmanager.Remove(t.Context(), e.operator, e.namespace, "pillion", nil))
	issuer := &cmv1.Issuer{}
	if !e.exists(issuer, "pillion-ca") || issuer.ResourceVersion != theirs.ResourceVersion {
		t.Errorf("it was changed: %+v", issuer)
	}
	if e.exists(&cmv1.Issuer{}, "pillion-selfsigned") {
		t.Error("ours is still there")
	}
}

func TestRemove(t *testing.T) {
	e := newEnv(t).withRole().withCRDs()
	e.becomes(e.want(), certmanager.NotReady)
	left := func() string {
		var names []string
		for _, name := range []string{"pillion-selfsigned", "pillion-ca"} {
			if e.exists(&cmv1.Issuer{}, name) {
				names = append(names, "Issuer "+name)
			}
		}
		for _, name := range []string{"pillion-ca", "pillion-serving"} {
			if e.exists(&cmv1.Certificate{}, name) {
				names = append(names, "Certificate "+name)
			}
		}
		return strings.Join(names, ", ")
	}
	const all = "Issuer pillion-selfsigned, Issuer pillion-ca, Certificate pillion-ca, Certificate pillion-serving"
	own, theirs := e.want(), e.want()
	theirs.IssuerRef = &v1alpha1.IssuerRef{Name: "mesh-ca"}
	must(t, certmanager.Remove(t.Context(), e.admin, e.namespace, "other", nil))
	for _, step := range []struct {
		needed *certmanager.Want
		want   string
	}{
		{&own, all},
		{&theirs, "Certificate pillion-serving"},
		{nil, ""},
		{nil, ""},
	} {
		must(t, certmanager.Remove(t.Context(), e.operator, e.namespace, "pillion", step.needed))
		if got := left(); got != step.want {
			t.Fatalf("left is %q, want %q", got, step.want)
		}
	}
}

func TestWithoutPermission(t *testing.T) {
	e := newEnv(t).withCRDs()
	e.becomes(e.want(), certmanager.Forbidden, "Issuer "+e.namespace+"/pillion-selfsigned", "Role "+e.namespace+"/pillion-operator has to allow")
}
