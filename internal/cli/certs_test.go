package cli

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"reflect"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
)

var (
	noon   = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	system = Identity{Namespace: "pillion-system", Service: "pillion", Lease: "pillion"}
)

// authority is a CA, the same each time.
func authority(t *testing.T, number byte, from, to time.Time) *x509.Certificate {
	t.Helper()
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{number}, ed25519.SeedSize))
	template := &x509.Certificate{SerialNumber: big.NewInt(int64(number)), Subject: pkix.Name{CommonName: "pillion-serving-ca"},
		NotBefore: from, NotAfter: to, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(nil, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func bundle(cas ...*x509.Certificate) []byte {
	var text []byte
	for _, ca := range cas {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Raw})...)
	}
	return text
}

func known(role string, ca *x509.Certificate) v1alpha1.CertificateAuthority {
	return v1alpha1.CertificateAuthority{Role: role, Fingerprint: v1alpha1.Fingerprint(ca.Raw), NotAfter: metav1.NewTime(ca.NotAfter)}
}

func serves(name, address string, ca *x509.Certificate) v1alpha1.ReplicaCertificate {
	return v1alpha1.ReplicaCertificate{Name: name, Address: address, CA: v1alpha1.Fingerprint(ca.Raw), NotAfter: &metav1.Time{Time: noon.Add(20 * time.Hour)}}
}

// served is a cluster in the middle of a rotation, in which one entry was reverted by somebody.
func served(t *testing.T, phase string) []client.Object {
	old := authority(t, 1, noon.AddDate(0, -8, 0), noon.AddDate(0, 4, 0))
	fresh := authority(t, 2, noon.Add(-time.Hour), noon.AddDate(1, 0, 0))
	stray := authority(t, 3, noon.AddDate(-2, 0, 0), noon.AddDate(-1, 0, 0))
	service := func(name string) admissionv1.WebhookClientConfig {
		return admissionv1.WebhookClientConfig{Service: &admissionv1.ServiceReference{Namespace: "pillion-system", Name: name}}
	}
	entry := func(name, to string, text []byte) admissionv1.MutatingWebhook {
		w := admissionv1.MutatingWebhook{Name: name, ClientConfig: service(to)}
		w.ClientConfig.CABundle = text
		return w
	}
	inj := &v1alpha1.Injector{ObjectMeta: metav1.ObjectMeta{Name: "default", CreationTimestamp: metav1.NewTime(noon.AddDate(-1, 0, 0))}}
	inj.Status.Certificates = &v1alpha1.CertificatesStatus{Source: v1alpha1.CertificatesSelfManaged, Phase: phase, Rotation: 3,
		Since: &metav1.Time{Time: noon.Add(-42 * time.Second)}, NextRotation: &metav1.Time{Time: noon.AddDate(0, 8, 0)},
		CAs:      []v1alpha1.CertificateAuthority{known(v1alpha1.RoleActive, fresh), known(v1alpha1.RolePrev, old)},
		Replicas: []v1alpha1.ReplicaCertificate{serves("pillion-6f7c-a", "10.0.0.7", fresh), serves("pillion-6f7c-b", "10.0.1.7", old), {Name: "pillion-6f7c-c", Address: "10.0.2.7", Fault: "connection refused"}}}
	canary := &v1alpha1.Injector{ObjectMeta: metav1.ObjectMeta{Name: "canary", CreationTimestamp: metav1.NewTime(noon)}}
	canary.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionCertificatesReady, Status: metav1.ConditionFalse, Reason: "Conflict",
		Message: `the older Injector "default" decides for all Injectors of this operator`, LastTransitionTime: metav1.NewTime(noon)}}
	validating := &admissionv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "pillion-injector-validation"}}
	validating.Webhooks = []admissionv1.ValidatingWebhook{{Name: "injectors.validation.pillion.dev", ClientConfig: service("pillion")}}
	holder, renewed := "pillion-6f7c-a_1", metav1.NewMicroTime(noon.Add(-2*time.Second))
	ours := map[string]string{"pillion.dev/injector": "default"}
	return []client.Object{inj, canary, validating,
		&admissionv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "pillion-injector-default", Labels: ours},
			Webhooks: []admissionv1.MutatingWebhook{
				entry("namespace.injector.pillion.dev", "pillion", bundle(fresh, old)),
				entry("object.injector.pillion.dev", "pillion", append(bundle(old, stray), "\nnot a certificate"...))}},
		&admissionv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "pillion-injector-canary", Labels: map[string]string{"pillion.dev/injector": "canary"}},
			Webhooks: []admissionv1.MutatingWebhook{entry("namespace.injector.pillion.dev", "pillion", bundle(fresh, old))}},
		&admissionv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "pillion-probe"},
			Webhooks: []admissionv1.MutatingWebhook{entry("probe.pillion.dev", "pillion-probe", bundle(fresh, old))}},
		&admissionv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "others"},
			Webhooks: []admissionv1.MutatingWebhook{entry("others.example.com", "others", bundle(stray))}},
		&coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: "pillion-system", Name: "pillion"},
			Spec: coordinationv1.LeaseSpec{HolderIdentity: &holder, RenewTime: &renewed}},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "pillion-system", Name: "pillion-serving-ca",
			Annotations: map[string]string{v1alpha1.AnnotationPhase: phase, v1alpha1.AnnotationRotation: "3", v1alpha1.AnnotationPhaseSince: "2026-11-21T11:59:18Z"}},
			Data: map[string][]byte{"active.key": []byte("secret-key")}},
	}
}

func cluster(t *testing.T, objects []client.Object, funcs interceptor.Funcs) client.Client {
	t.Helper()
	scheme, err := Scheme()
	if err != nil {
		t.Fatal(err)
	}
	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithInterceptorFuncs(funcs).Build()
}

func readCerts(t *testing.T, c client.Reader, now time.Time) (*Certificates, string) {
	t.Helper()
	found, err := ReadCertificates(t.Context(), c, system, now)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := found.Write(&text); err != nil {
		t.Fatal(err)
	}
	return found, text.String()
}

func TestCertificatesInWords(t *testing.T) {
	c := cluster(t, served(t, v1alpha1.PhasePromote), interceptor.Funcs{})
	found, text := readCerts(t, c, noon)
	golden(t, "certs/promote.txt", text)
	data, err := json.MarshalIndent(found, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "certs/promote.json", string(data)+"\n")
	if strings.Contains(text+string(data), "secret-key") {
		t.Error("a key is shown")
	}
	_, text = readCerts(t, c, noon.Add(26*time.Hour))
	golden(t, "certs/leader-gone.txt", text)
}

func TestCertificatesOfASoundCluster(t *testing.T) {
	objects := served(t, v1alpha1.PhaseSteady)
	ca := authority(t, 2, noon.Add(-time.Hour), noon.AddDate(1, 0, 0))
	inj := objects[0].(*v1alpha1.Injector)
	inj.Status.Certificates.CAs = inj.Status.Certificates.CAs[:1]
	inj.Status.Certificates.Replicas = []v1alpha1.ReplicaCertificate{serves("pillion-6f7c-a", "10.0.0.7", ca)}
	objects[1].(*v1alpha1.Injector).Status.Conditions = nil
	objects[2].(*admissionv1.ValidatingWebhookConfiguration).Webhooks[0].ClientConfig.CABundle = bundle(ca)
	configuration := objects[3].(*admissionv1.MutatingWebhookConfiguration)
	configuration.Webhooks[1].ClientConfig.CABundle = bundle(ca)
	found, text := readCerts(t, cluster(t, objects, interceptor.Funcs{}), noon)
	if len(found.Problems) > 0 {
		t.Errorf("problems: %q", found.Problems)
	}
	golden(t, "certs/steady.txt", text)
}

// TestCertificatesOfANewCluster: nothing is there yet but the CRD.
func TestCertificatesOfANewCluster(t *testing.T) {
	_, text := readCerts(t, cluster(t, nil, interceptor.Funcs{}), noon)
	golden(t, "certs/nothing.txt", text)
}

func forbid(resource string) error {
	return apierrors.NewForbidden(schema.GroupResource{Resource: resource}, "", errors.New("no"))
}

// TestCertificatesWithoutPermissions: each refusal is a line, and the rest is shown.
func TestCertificatesWithoutPermissions(t *testing.T) {
	mayNot := func(refused func(any) bool) client.Client {
		return cluster(t, served(t, v1alpha1.PhasePromote), interceptor.Funcs{
			List: func(ctx context.Context, c client.WithWatch, l client.ObjectList, opts ...client.ListOption) error {
				if refused(l) {
					return forbid("things")
				}
				return c.List(ctx, l, opts...)
			},
			Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
				if refused(o) {
					return forbid("things")
				}
				return c.Get(ctx, key, o, opts...)
			}})
	}
	_, text := readCerts(t, mayNot(func(any) bool { return true }), noon)
	golden(t, "certs/forbidden.txt", text)
	for _, row := range []struct {
		object any
		want   string
	}{
		{&admissionv1.MutatingWebhookConfigurationList{}, "list mutatingwebhookconfigurations.admissionregistration.k8s.io"},
		{&admissionv1.ValidatingWebhookConfigurationList{}, "list validatingwebhookconfigurations.admissionregistration.k8s.io"},
		{&v1alpha1.InjectorList{}, "list injectors.pillion.dev"},
		{&coordinationv1.Lease{}, "get leases.coordination.k8s.io pillion in namespace pillion-system"},
		{&metav1.PartialObjectMetadata{}, "get secrets pillion-serving-ca in namespace pillion-system"},
	} {
		same := func(o any) bool { return reflect.TypeOf(o) == reflect.TypeOf(row.object) }
		found, text := readCerts(t, mayNot(same), noon)
		if len(found.Notes) != 1 || !strings.HasSuffix(found.Notes[0], row.want) || !strings.Contains(text, "note: "+found.Notes[0]) {
			t.Errorf("%T: notes %q, want one of %q", row.object, found.Notes, row.want)
		}
	}
}
