package main_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pillion-mesh/pillion/test/cluster/progress"
	"github.com/pillion-mesh/pillion/test/cluster/testenv"
)

// authority is a CA whose certificate a self-signed issuer makes, and an issuer that signs with it.
const authority = `
apiVersion: cert-manager.io/v1
kind: Issuer
metadata: {name: self-signed}
spec: {selfSigned: {}}
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: authority}
spec:
  isCA: true
  commonName: authority
  secretName: authority
  privateKey: {algorithm: ECDSA}
  issuerRef: {name: self-signed}
---
apiVersion: cert-manager.io/v1
kind: Issuer
metadata: {name: authority}
spec: {ca: {secretName: authority}}
`

// leaf is a Certificate called name for name.example, with more fields of its spec.
func leaf(name, more string) string {
	return fmt.Sprintf(`---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: %[1]s}
spec: {dnsNames: [%[1]s.example], secretName: %[1]s, privateKey: {algorithm: ECDSA}, issuerRef: {name: authority}%[2]s}
`, name, more)
}

// TestCertManager is what tests of certificates rely on: real issuance, injection and renewal.
func TestCertManager(t *testing.T) {
	c := testenv.Start(t, testenv.Options{CertManager: true, Name: "certs"})
	namespace := c.Namespace(t)
	apply(t, c, namespace, authority+leaf("server", ""))
	issued := c.WaitIssued(t, namespace, "server", nil)

	t.Run("the Secret has a chain and its key", func(t *testing.T) { verify(t, c, namespace, issued) })
	t.Run("the authority comes into webhook configurations", func(t *testing.T) { checkInjection(t, c, namespace) })
	t.Run("a certificate is renewed by itself every two seconds", func(t *testing.T) {
		apply(t, c, namespace, leaf("short", ", duration: 1h, renewBefore: 3598s"))
		renewals(t, c, namespace, "short", func() {})
	})
	t.Run("asked for, as cmctl does", func(t *testing.T) {
		renewals(t, c, namespace, "server", func() { c.Renew(t, namespace, "server") })
	})
	t.Run("the Secret is deleted", func(t *testing.T) {
		renewals(t, c, namespace, "server", func() {
			c.WaitIdle(t, namespace, "server")
			if err := c.Client.CoreV1().Secrets(namespace).Delete(t.Context(), "server", metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
		})
	})
	t.Run("a Certificate is deleted and made again", func(t *testing.T) {
		kubectl(t, c, "", "delete", "certificate,secret", "server", "-n", namespace)
		apply(t, c, namespace, leaf("server", ""))
		verify(t, c, namespace, c.WaitIssued(t, namespace, "server", issued))
	})
}

// TestCertManagerOnNode: it runs beside the node's pods, and again after a power cut.
func TestCertManagerOnNode(t *testing.T) {
	c := testenv.Start(t, testenv.Options{Node: true, CertManager: true, Name: "certs-node"})
	namespace := c.Namespace(t)
	apply(t, c, namespace, authority+leaf("server", ""))
	before := c.WaitIssued(t, namespace, "server", nil)
	if err := c.Reboot(t.Context(), progress.New(os.Stderr)); err != nil {
		t.Fatal(err)
	}
	if again := c.WaitIssued(t, namespace, "server", nil); !bytes.Equal(again.Data[corev1.TLSCertKey], before.Data[corev1.TLSCertKey]) {
		t.Error("a power cut alone made another certificate")
	}
	c.Renew(t, namespace, "server")
	verify(t, c, namespace, c.WaitIssued(t, namespace, "server", before))
}

// renewals sees the certificate and its key change three times, each after cause, and stay valid.
func renewals(t *testing.T, c *testenv.Cluster, namespace, name string, cause func()) {
	t.Helper()
	last := c.WaitIssued(t, namespace, name, nil)
	for range 3 {
		cause()
		start := time.Now()
		renewed := c.WaitIssued(t, namespace, name, last)
		t.Logf("new after %.2fs", time.Since(start).Seconds())
		if bytes.Equal(renewed.Data[corev1.TLSPrivateKeyKey], last.Data[corev1.TLSPrivateKeyKey]) {
			t.Error("the key is the one before")
		}
		verify(t, c, namespace, renewed)
		last = renewed
	}
}

// verify: the certificate is for the Secret's name, its key fits, and the authority's Secret has what signed it.
func verify(t *testing.T, c *testenv.Cluster, namespace string, s *corev1.Secret) {
	t.Helper()
	pair, err := tls.X509KeyPair(s.Data[corev1.TLSCertKey], s.Data[corev1.TLSPrivateKeyKey])
	if err != nil {
		t.Fatalf("certificate and key of Secret %s: %v", s.Name, err)
	}
	signer := c.WaitIssued(t, namespace, "authority", nil).Data[corev1.TLSCertKey]
	if !bytes.Equal(s.Data["ca.crt"], signer) {
		t.Errorf("ca.crt is\n%s, the authority's certificate is\n%s", s.Data["ca.crt"], signer)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.Data["ca.crt"])
	if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: s.Name + ".example"}); err != nil {
		t.Errorf("the certificate of Secret %s: %v", s.Name, err)
	}
}

// checkInjection: caBundle is what signed the Certificate that the annotation names, in either kind of configuration.
func checkInjection(t *testing.T, c *testenv.Cluster, namespace string) {
	for _, kind := range []string{"Mutating", "Validating"} {
		resource, name := strings.ToLower(kind)+"webhookconfiguration", namespace
		start := time.Now()
		kubectl(t, c, fmt.Sprintf(`
apiVersion: admissionregistration.k8s.io/v1
kind: %sWebhookConfiguration
metadata: {name: %s, annotations: {cert-manager.io/inject-ca-from: %s/server}}
webhooks:
- {name: a.example.com, sideEffects: None, admissionReviewVersions: [v1], clientConfig: {url: "https://127.0.0.1"}}
`, kind, name, namespace), "apply", "-f", "-")
		t.Cleanup(func() { kubectl(t, c, "", "delete", resource, name) })
		kubectl(t, c, "", "wait", resource, name, "--for=jsonpath={.webhooks[0].clientConfig.caBundle}", "--timeout=30s")
		t.Logf("injected after at most %.2fs", time.Since(start).Seconds())
		bundle := kubectl(t, c, "", "get", resource, name, "-o", `go-template={{(index .webhooks 0).clientConfig.caBundle | base64decode}}`)
		want := c.WaitIssued(t, namespace, "authority", nil).Data[corev1.TLSCertKey]
		got, _ := pem.Decode([]byte(bundle))
		signer, _ := pem.Decode(want)
		if got == nil || signer == nil || !bytes.Equal(got.Bytes, signer.Bytes) {
			t.Errorf("%s has\n%s, want\n%s", resource, bundle, want)
		}
	}
}

func apply(t *testing.T, c *testenv.Cluster, namespace, objects string) {
	t.Helper()
	kubectl(t, c, objects, "apply", "-n", namespace, "-f", "-")
}

func kubectl(t *testing.T, c *testenv.Cluster, input string, args ...string) string {
	t.Helper()
	out, err := c.Kubectl(t, input, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
