package certsources

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/controller/certmanager"
)

// What the operator has cert-manager make.
const (
	serving       = "pillion-serving" // a Certificate
	servingSecret = "pillion-serving-tls"
	ownCA         = "pillion-ca" // a Certificate
	ownCASecret   = "pillion-ca-tls"
)

// meshCA is an issuer of the user's, with a CA of its own.
const meshCA = `
apiVersion: cert-manager.io/v1
kind: Issuer
metadata: {name: mesh-self}
spec: {selfSigned: {}}
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: mesh-ca}
spec:
  isCA: true
  commonName: mesh-ca
  secretName: mesh-ca
  privateKey: {algorithm: ECDSA, size: 256, rotationPolicy: Always}
  issuerRef: {name: mesh-self, kind: Issuer}
---
apiVersion: cert-manager.io/v1
kind: Issuer
metadata: {name: mesh-ca}
spec: {ca: {secretName: mesh-ca}}
`

func (e *env) apply(objects string) {
	e.T.Helper()
	if _, err := e.Cluster.Kubectl(e.T, objects, "apply", "-n", e.Namespace, "-f", "-"); err != nil {
		e.T.Fatal(err)
	}
}

// issued waits for another pair than previous.
func (e *env) issued(previous *corev1.Secret) *corev1.Secret {
	e.T.Helper()
	return e.Cluster.WaitIssued(e.T, e.Namespace, servingSecret, previous)
}

// testIssuers lives through all that happens with cert-manager, from the operator's own CA and back to one.
func testIssuers(t *testing.T) {
	e := newEnv(t, withCertManager)
	e.serve([]string{"a", "b", "c"})
	e.changed(v1alpha1.CertificatesSelfManaged, e.active())

	first := e.rotates(v1alpha1.CertificatesCertManager, func() string {
		e.use(fromCertManager(nil))
		return e.ca(e.issued(nil))
	})
	e.serving(e.issued(nil))
	for range 3 {
		before := e.issued(nil)
		e.Cluster.Renew(t, e.Namespace, serving)
		e.serving(e.issued(before))
	}
	e.changed(v1alpha1.CertificatesCertManager, first)

	e.rotates(v1alpha1.CertificatesCertManager, func() string { return e.renewCA(ownCA, ownCASecret) })

	own, pair := e.active(), e.issued(nil)
	e.use(fromCertManager(&v1alpha1.IssuerRef{Name: "mesh-ca"}))
	e.refused(certmanager.IssuerNotFound, "spec.certificates.certManager.issuerRef", "there is no Issuer "+e.Namespace+"/mesh-ca", "create it, or name another")
	e.unchanged(own)
	e.replicasServe(pair.Data)
	e.rotates(v1alpha1.CertificatesCertManager, func() string {
		e.apply(meshCA)
		return e.ca(e.issued(pair))
	})
	e.left("certificate/mesh-ca", "certificate/pillion-serving", "issuer/mesh-ca", "issuer/mesh-self")

	e.rotatesBack()
	e.left("certificate/mesh-ca", "issuer/mesh-ca", "issuer/mesh-self")
	e.done()
}

// renewCA has a new CA made, and a certificate of it, which is another CA for us. An issuer may sign once more with the
// CA that it knew.
func (e *env) renewCA(certificate, secret string) (ca string) {
	e.T.Helper()
	old, pair := e.Cluster.WaitIssued(e.T, e.Namespace, secret, nil), e.issued(nil)
	before := e.ca(pair)
	e.Cluster.Renew(e.T, e.Namespace, certificate)
	e.Cluster.WaitIssued(e.T, e.Namespace, secret, old)
	for range 3 {
		e.Cluster.Renew(e.T, e.Namespace, serving)
		if pair = e.issued(pair); e.ca(pair) != before {
			return e.ca(pair)
		}
	}
	e.T.Fatal("certificates are still of the same CA")
	return ""
}

// left waits until these are all objects of cert-manager's in the operator's namespace that somebody asked for.
func (e *env) left(want ...string) {
	e.T.Helper()
	e.Eventually(fmt.Sprintf("only %v are left", want), func() error {
		out, err := e.Cluster.Kubectl(e.T, "", "get", "certificates,issuers", "-n", e.Namespace, "-o",
			`jsonpath={range .items[*]}{.kind}/{.metadata.name} {end}`)
		if err != nil {
			return err
		}
		got := strings.Fields(strings.ToLower(out))
		slices.Sort(got)
		if !slices.Equal(got, want) {
			return fmt.Errorf("there are %v", got)
		}
		return nil
	})
}
