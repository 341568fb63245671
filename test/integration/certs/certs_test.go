// Package certs runs `pillion certs` against a real API server, on which the test plays the operator.
package certs

import (
	"bytes"
	"context"
	"encoding/pem"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/cmd/pillion"
	"github.com/pillion-mesh/pillion/test/cluster/testenv"
	"github.com/pillion-mesh/pillion/test/integration/operatortest"
)

const secretName = "pillion-serving-ca"

// installed has what an operator would have made: an Injector with a status, its webhooks, the Secret and the Lease.
type installed struct {
	*operatortest.Env
	ca []byte // in PEM
}

func install(t *testing.T) *installed {
	e := operatortest.New(t, operatortest.Options{Cluster: testenv.Options{Name: clusterName}})
	server := httptest.NewTLSServer(nil)
	server.Close()
	c := &installed{Env: e, ca: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})}
	print := v1alpha1.Fingerprint(server.Certificate().Raw)
	inj := &v1alpha1.Injector{ObjectMeta: metav1.ObjectMeta{Name: "default"}}
	operatortest.Must(t, e.Client.Create(e.Ctx(), inj))
	inj.Status.Certificates = &v1alpha1.CertificatesStatus{Source: v1alpha1.CertificatesSelfManaged, Phase: v1alpha1.PhaseSteady,
		CAs:      []v1alpha1.CertificateAuthority{{Role: v1alpha1.RoleActive, Fingerprint: print, NotAfter: metav1.NewTime(server.Certificate().NotAfter)}},
		Replicas: []v1alpha1.ReplicaCertificate{{Name: "pillion-a", Address: "10.0.0.7", CA: print}}}
	operatortest.Must(t, e.Client.Status().Update(e.Ctx(), inj))
	operatortest.Must(t, e.Client.Create(e.Ctx(), c.webhooks()))
	holder, renewed := "pillion-a", metav1.NewMicroTime(time.Now())
	operatortest.Must(t, e.Client.Create(e.Ctx(), &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: e.Namespace, Name: "pillion"},
		Spec: coordinationv1.LeaseSpec{HolderIdentity: &holder, RenewTime: &renewed}}))
	operatortest.Must(t, e.Client.Create(e.Ctx(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: e.Namespace, Name: secretName, Annotations: map[string]string{v1alpha1.AnnotationPhase: v1alpha1.PhaseSteady, v1alpha1.AnnotationRotation: "0"}},
		Data:       map[string][]byte{"active.key": []byte("secret-key")}}))
	return c
}

func (c *installed) webhooks() *admissionv1.MutatingWebhookConfiguration {
	none, ignore := admissionv1.SideEffectClassNone, admissionv1.Ignore
	return &admissionv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "pillion-injector-default", Labels: map[string]string{"pillion.dev/injector": "default"}},
		Webhooks: []admissionv1.MutatingWebhook{{Name: "namespace.injector.pillion.dev", SideEffects: &none, FailurePolicy: &ignore, AdmissionReviewVersions: []string{"v1"},
			ClientConfig: admissionv1.WebhookClientConfig{CABundle: c.ca, Service: &admissionv1.ServiceReference{Namespace: c.Namespace, Name: "pillion"}}}},
	}
}

// pillion runs the command line on this cluster.
func (c *installed) pillion(args ...string) (code int, out, err string) {
	var o, e bytes.Buffer
	args = append(args, "--kubeconfig="+c.Cluster.Kubeconfig(), "--root-namespace="+c.Namespace)
	code = pillion.Main(args, strings.NewReader(""), &o, &e)
	return code, o.String(), e.String()
}

func (c *installed) want(code int, texts []string, args ...string) {
	c.T.Helper()
	got, out, err := c.pillion(args...)
	for _, text := range texts {
		if !strings.Contains(out+err, text) {
			c.T.Errorf("pillion %s says no %q", strings.Join(args, " "), text)
		}
	}
	if got != code || c.T.Failed() {
		c.T.Fatalf("pillion %s: exit %d, want %d\n%s%s", strings.Join(args, " "), got, code, out, err)
	}
	if strings.Contains(out+err, "secret-key") {
		c.T.Error("a key is shown")
	}
}

func (c *installed) secret() *corev1.Secret {
	c.T.Helper()
	var secret corev1.Secret
	operatortest.Must(c.T, c.Client.Get(c.Ctx(), client.ObjectKey{Namespace: c.Namespace, Name: secretName}, &secret))
	return &secret
}

func TestCertsShowsAndRotates(t *testing.T) {
	c := install(t)
	c.want(0, []string{"SelfManaged", "namespace.injector.pillion.dev", "trusted", "pillion-a"}, "certs")
	c.want(0, []string{`"apiVersion": "cli.pillion.dev/v1"`, `"state": "trusted"`}, "certs", "-o", "json")

	done := make(chan struct{})
	go func() {
		defer close(done)
		c.play()
	}()
	c.want(0, []string{"asked for a rotation", "Propagate", "Retire"}, "certs", "rotate", "--timeout=60s")
	<-done
	if s := c.secret(); string(s.Data["active.key"]) != "secret-key" || s.Annotations[v1alpha1.AnnotationRotate] != "" {
		t.Errorf("the Secret is now %+v", s.ObjectMeta)
	}
	c.want(1, []string{"a rotation is under way, in phase Retire"}, "certs", "rotate")
}

// play is the operator: once asked, it goes through the phases up to Retire.
func (c *installed) play() {
	c.Eventually("a rotation is asked for", func() error {
		if c.secret().Annotations[v1alpha1.AnnotationRotate] != v1alpha1.RotateNow {
			return context.DeadlineExceeded
		}
		return nil
	})
	for _, phase := range []string{v1alpha1.PhaseIntroduce, v1alpha1.PhasePropagate, v1alpha1.PhasePromote, v1alpha1.PhaseRetire} {
		s := c.secret()
		delete(s.Annotations, v1alpha1.AnnotationRotate)
		s.Annotations[v1alpha1.AnnotationPhase] = phase
		operatortest.Must(c.T, c.Client.Update(c.Ctx(), s))
		time.Sleep(1500 * time.Millisecond) // the command looks each second
	}
}

// TestCertsWithFewPermissions: what may not be read is a line; with get and patch of the one Secret a rotation starts.
func TestCertsWithFewPermissions(t *testing.T) {
	c := install(t)
	c.want(0, []string{
		"you lack the permission to list mutatingwebhookconfigurations.admissionregistration.k8s.io", "list validatingwebhookconfigurations",
		"list injectors.pillion.dev", "get leases.coordination.k8s.io pillion in namespace " + c.Namespace, "get secrets " + secretName,
	}, "certs", "--as=nobody")
	c.want(77, []string{"with the permission to get secrets " + secretName}, "certs", "rotate", "--as=nobody")
	meta := metav1.ObjectMeta{Namespace: c.Namespace, Name: "rotator"}
	operatortest.Must(t, c.Client.Create(c.Ctx(), &rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: []string{secretName}, Verbs: []string{"get", "patch"}}}}))
	operatortest.Must(t, c.Client.Create(c.Ctx(), &rbacv1.RoleBinding{ObjectMeta: meta,
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "rotator"}, Subjects: []rbacv1.Subject{{Kind: "User", APIGroup: rbacv1.GroupName, Name: "oncall"}}}))
	c.Eventually("the binding counts", func() error {
		if code, out, err := c.pillion("certs", "rotate", "--no-wait", "--compromised", "--as=oncall"); code != 0 {
			t.Log(out, err)
			return context.DeadlineExceeded
		}
		return nil
	})
	if asked := c.secret().Annotations[v1alpha1.AnnotationRotate]; asked != v1alpha1.RotateCompromised {
		t.Errorf("asked for %q", asked)
	}
	c.want(0, []string{"a rotation (pillion.dev/rotate: compromised), not begun yet"}, "certs")
}

func TestCertsSaysWhatIsWrong(t *testing.T) {
	c := install(t)
	other := c.webhooks()
	other.Name, other.Webhooks[0].ClientConfig.CABundle = "pillion-injector-tag", nil
	operatortest.Must(t, c.Client.Create(c.Ctx(), other))
	c.want(79, []string{"✘ pillion-injector-tag/namespace.injector.pillion.dev: NO BUNDLE"}, "certs")
	c.want(79, []string{"state: NO BUNDLE"}, "certs", "-o", "yaml")
}
