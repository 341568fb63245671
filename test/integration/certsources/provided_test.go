package certsources

import (
	"crypto/x509"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/controller/servingcert/pairs"
)

const mine = "pillion-serving" // a Secret that the operator's Role names

// put makes the user's Secret, or changes it.
func (e *env) put(data map[string][]byte) *corev1.Secret {
	e.T.Helper()
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: e.Namespace, Name: mine}, Data: data}
	if e.Client.Create(e.Ctx(), s) != nil {
		must(e.T, e.Client.Update(e.Ctx(), s))
	}
	return s
}

// testProvidedBySecret: the user's pair is served, exchanged for one of another CA, and kept whatever becomes of the Secret.
func testProvidedBySecret(t *testing.T) {
	e := newEnv(t, bare)
	first, second := newAuthority(t, "first"), newAuthority(t, "second")
	e.serve([]string{"a", "b"})
	e.changed(v1alpha1.CertificatesSelfManaged, e.active())

	e.rotates(v1alpha1.CertificatesProvided, func() string {
		e.put(first.issue(e.Namespace))
		e.use(provided(mine))
		return first.fingerprint()
	})
	e.serving(e.put(first.issue(e.Namespace))) // by the same CA
	good := second.issue(e.Namespace)
	e.rotates(v1alpha1.CertificatesProvided, func() string {
		e.put(good)
		return second.fingerprint()
	})
	e.refuses(e.put(good), second)

	must(t, e.Client.Delete(e.Ctx(), e.secret(mine)))
	e.refused(pairs.Missing, "Secret "+e.Namespace+"/"+mine, "doesn't exist", "tls.crt, tls.key and ca.crt")
	e.replicasServe(good)
	e.put(good)
	e.changed(v1alpha1.CertificatesProvided, second.fingerprint())

	e.rotatesBack()
	e.done()
}

// refuses puts what is no good into the Secret, in each way that there is.
func (e *env) refuses(good *corev1.Secret, by *authority) {
	e.T.Helper()
	other := newAuthority(e.T, "other")
	secret := "Secret " + e.Namespace + "/" + mine
	for _, bad := range []struct {
		reason string
		data   map[string][]byte
		says   []string
	}{
		{pairs.KeyMismatch, with(good.Data, pairs.KeyPrivate, by.issue(e.Namespace)[pairs.KeyPrivate]), []string{"key tls.key", "write both from the same issuance"}},
		{pairs.Unparsable, with(good.Data, pairs.KeyCertificate, []byte("garbage")), []string{"key tls.crt", "has no PEM block CERTIFICATE"}},
		{pairs.Unparsable, with(good.Data, pairs.KeyCertificate, good.Data[pairs.KeyCertificate][:200]), []string{"key tls.crt", "PEM"}},
		{pairs.Missing, with(good.Data, pairs.KeyPrivate, nil), []string{"key tls.key", "put the certificate's private key there"}},
		{pairs.NoCA, with(good.Data, pairs.KeyCA, nil), []string{"ca.crt is missing or empty", "put the CA's certificate"}},
		{pairs.ChainBroken, with(good.Data, pairs.KeyCA, other.pem()), []string{"key ca.crt", "Put that CA here"}},
		{pairs.Expired, by.issue(e.Namespace, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }), []string{"key tls.crt", "replace it"}},
		{pairs.NamesMissing, by.issue(e.Namespace, func(c *x509.Certificate) { c.DNSNames = c.DNSNames[1:] }), []string{"isn't for pillion." + e.Namespace + ".svc", "have it issued for"}},
	} {
		e.put(bad.data)
		e.refused(bad.reason, append(bad.says, secret)...)
		e.replicasServe(good.Data)
	}
	expiring := e.put(by.issue(e.Namespace, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(20 * time.Minute) }))
	e.refused("Expiring", secret, "ends at", "nothing renews it: replace it")
	e.serving(expiring)
	e.serving(e.put(good.Data))
	e.changed(v1alpha1.CertificatesProvided, by.fingerprint())
}

func with(data map[string][]byte, key string, value []byte) map[string][]byte {
	data = maps.Clone(data)
	data[key] = value
	return data
}

// replicasServe wants what they serve now, not in a while.
func (e *env) replicasServe(data map[string][]byte) {
	e.T.Helper()
	pair, err := pairs.FromSecret(&corev1.Secret{Data: data}, nil, time.Now())
	must(e.T, err)
	for _, r := range e.replicas {
		must(e.T, e.shows(r, pair))
	}
}

// testProvidedByFiles: files may be replaced one after the other.
func testProvidedByFiles(t *testing.T) {
	e := newEnv(t, withCertManager)
	folder := files(t.TempDir())
	first, second := newAuthority(t, "first"), newAuthority(t, "second")
	e.serve([]string{"a", "b"}, folder.flags()...)
	e.changed(v1alpha1.CertificatesSelfManaged, e.active())

	e.use(v1alpha1.Certificates{Source: v1alpha1.CertificatesProvided})
	e.refused(pairs.Missing, "file "+folder.path(pairs.KeyCertificate), "doesn't exist", "--tls-*-file")
	old := first.issue(e.Namespace)
	e.rotates(v1alpha1.CertificatesProvided, func() string {
		folder.write(t, old, pairs.KeyPrivate, pairs.KeyCA, pairs.KeyCertificate)
		return first.fingerprint()
	})
	e.replicasServe(old)

	pair := second.issue(e.Namespace)
	folder.write(t, pair, pairs.KeyPrivate)
	e.refused(pairs.KeyMismatch, "file "+folder.path(pairs.KeyPrivate), "write both from the same issuance")
	e.replicasServe(old)
	folder.write(t, pair, pairs.KeyCertificate)
	e.refused(pairs.ChainBroken, "file "+folder.path(pairs.KeyCA), "Put that CA here")
	e.replicasServe(old)
	e.rotates(v1alpha1.CertificatesProvided, func() string {
		folder.write(t, pair, pairs.KeyCA)
		return second.fingerprint()
	})
	e.replicasServe(pair)
	e.done()
}

// files is a folder with a pair.
type files string

func (f files) path(key string) string { return filepath.Join(string(f), key) }

func (f files) flags() []string {
	return []string{"--tls-cert-file=" + f.path(pairs.KeyCertificate), "--tls-key-file=" + f.path(pairs.KeyPrivate), "--tls-ca-file=" + f.path(pairs.KeyCA)}
}

func (f files) write(t *testing.T, data map[string][]byte, keys ...string) {
	t.Helper()
	for _, key := range keys {
		must(t, os.WriteFile(f.path(key), data[key], 0o600))
	}
}
