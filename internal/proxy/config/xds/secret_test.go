package xds

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"
)

// issued is a certificate with its key in PEM.
type issued struct{ cert, key string }

func issue(t testing.TB, key crypto.Signer, kind string) issued {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "bill"}, NotAfter: time.Now().Add(time.Hour), IsCA: true,
		BasicConstraintsValid: true, URIs: []*url.URL{{Scheme: "spiffe", Host: "cluster.local", Path: "/ns/istio-demo/sa/bill"}},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return issued{pemOf("CERTIFICATE", der), pemOf(kind, keyDER(t, key, kind))}
}

func keyDER(t testing.TB, key crypto.Signer, kind string) (der []byte) {
	t.Helper()
	var err error
	switch kind {
	case "RSA PRIVATE KEY":
		der = x509.MarshalPKCS1PrivateKey(key.(*rsa.PrivateKey))
	case "EC PRIVATE KEY":
		der, err = x509.MarshalECPrivateKey(key.(*ecdsa.PrivateKey))
	default:
		der, err = x509.MarshalPKCS8PrivateKey(key)
	}
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func pemOf(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func ecKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func quoted(s string) string {
	text, _ := json.Marshal(s)
	return string(text)
}

func certificateYAML(i issued) string {
	return "name: default\ntls_certificate: {certificate_chain: {inline_string: " + quoted(i.cert) + "}, private_key: {inline_string: " + quoted(i.key) + "}}"
}

func TestCertificate(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, i := range map[string]issued{
		"PKCS1": issue(t, rsaKey, "RSA PRIVATE KEY"), "PKCS8 RSA": issue(t, rsaKey, "PRIVATE KEY"),
		"EC": issue(t, ecKey(t), "EC PRIVATE KEY"), "PKCS8 EC": issue(t, ecKey(t), "PRIVATE KEY"),
	} {
		t.Run(name, func(t *testing.T) {
			i.cert += i.cert // a chain of two
			v, _, err := Secret(secretYAML(t, certificateYAML(i)), nil)
			if err != nil {
				t.Fatal(err)
			}
			c := v.Certificate
			if v.Trust != nil || len(c.Chain) != 2 || c.Leaf.Subject.CommonName != "bill" || !fits(c.Key, c.Leaf) {
				t.Errorf("got %+v", c)
			}
		})
	}
}

func TestCertificateFromFiles(t *testing.T) {
	i := issue(t, ecKey(t), "EC PRIVATE KEY")
	files := Files(func(name string) ([]byte, error) {
		switch name {
		case "/etc/certs/cert.pem":
			return []byte(i.cert), nil
		case "/etc/certs/key.pem":
			return []byte(i.key), nil
		}
		return nil, errors.New("open " + name + ": no such file or directory")
	})
	v, _, err := Secret(secretYAML(t, "{name: f, tls_certificate: {certificate_chain: {filename: /etc/certs/cert.pem}, private_key: {filename: /etc/certs/key.pem}}}"), files)
	if err != nil || v.Certificate.Leaf == nil {
		t.Fatal(v, err)
	}
	_, _, err = Secret(secretYAML(t, "{name: f, validation_context: {trusted_ca: {filename: /etc/certs/root.pem}}}"), files)
	expect(t, reasons(t, err), []string{
		"validation_context.trusted_ca.filename: open /etc/certs/root.pem: no such file or directory", "validation_context.trusted_ca: no certificate in it",
	})
}

func TestTrust(t *testing.T) {
	i := issue(t, ecKey(t), "EC PRIVATE KEY")
	text := "name: ROOTCA\nvalidation_context: {trusted_ca: {inline_string: " + quoted(i.cert+i.cert) + `}, match_typed_subject_alt_names: [{san_type: URI, matcher: {prefix: "spiffe://cluster.local/"}}], verify_certificate_hash: ["` + strings.Repeat("ab:", 31) + `ab"], allow_expired_certificate: true}`
	v, needs, err := Secret(secretYAML(t, text), nil)
	if err != nil {
		t.Fatal(err)
	}
	if tr := v.Trust; len(tr.Roots) != 2 || len(tr.SANs) != 1 || len(tr.Hashes[0]) != 32 || !tr.AllowExpired || tr.TrustAny || len(needs.Notes) != 0 {
		t.Errorf("got %+v %v", tr, needs.Notes)
	}
	bundle := pemOf("CERTIFICATE", []byte("nonsense")) + i.cert
	v, needs, err = Secret(secretYAML(t, "name: ROOTCA\nvalidation_context: {trusted_ca: {inline_string: "+quoted(bundle)+"}}"), nil)
	if err != nil || len(v.Trust.Roots) != 1 || len(needs.Notes) != 1 {
		t.Errorf("an odd certificate in a bundle: %v, %v, %v", v, needs.Notes, err)
	}
	spiffe := `{name: s, validation_context: {custom_validator_config: {name: envoy.tls.cert_validator.spiffe, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig, trust_domains: [{name: a.b, trust_bundle: {inline_string: ` + quoted(i.cert) + `}}]}}}}`
	if v, _, err = Secret(secretYAML(t, spiffe), nil); err != nil || len(v.Trust.Domains["a.b"]) != 1 {
		t.Errorf("SPIFFE's validator: %v, %v", v, err)
	}
}

func TestSecretRefused(t *testing.T) {
	a, b := issue(t, ecKey(t), "EC PRIVATE KEY"), issue(t, ecKey(t), "PRIVATE KEY")
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"another's key":  {certificateYAML(issued{a.cert, b.key}), []string{"tls_certificate.private_key: doesn't fit the certificate"}},
		"no certificate": {certificateYAML(issued{"x", a.key}), []string{"tls_certificate.certificate_chain: no certificate in it"}},
		"no key":         {certificateYAML(issued{a.cert, "x"}), []string{"tls_certificate.private_key: not a PKCS #1, PKCS #8 or EC private key in PEM"}},
		"broken key":     {certificateYAML(issued{a.cert, pemOf("PRIVATE KEY", []byte("x"))}), []string{`tls_certificate.private_key: "PRIVATE KEY" can't be parsed`}},
		"encrypted key":  {certificateYAML(issued{a.cert, pemOf("ENCRYPTED PRIVATE KEY", []byte("x"))}), []string{"tls_certificate.private_key: encrypted keys are not supported"}},
		"nothing":        {"name: n", []string{"no secret in it"}},
		"ticket keys":    {"{name: n, session_ticket_keys: {keys: [{inline_string: x}]}}", []string{"session_ticket_keys: not supported"}},
		"hash":           {"{name: n, validation_context: {verify_certificate_hash: [ab]}}", []string{"validation_context.verify_certificate_hash[0]: not a SHA-256 in hexadecimal"}},
		"spki":           {"{name: n, validation_context: {verify_certificate_spki: [ab]}}", []string{"validation_context.verify_certificate_spki[0]: not a SHA-256 in base64"}},
		"crl":            {"name: n\nvalidation_context: {trusted_ca: {inline_string: " + quoted(a.cert) + "}, crl: {inline_string: x}}", []string{"validation_context.crl: no revocation list in it"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := Secret(secretYAML(t, c.text), nil)
			expect(t, reasons(t, err), c.want)
			if err != nil && strings.Contains(err.Error(), "BEGIN") {
				t.Error("the message has the key in it")
			}
		})
	}
}
