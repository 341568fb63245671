package pairs

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

func block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func sec1(t *testing.T, i *issued) []byte {
	der, err := x509.MarshalECPrivateKey(i.key.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	return block("EC PRIVATE KEY", der)
}

// Each gives a pair; API servers that trust nothing but its CA take it.
func TestPairsThatServe(t *testing.T) {
	ca, other := newCA(t, "mesh"), newCA(t, "other")
	middle := ca.intermediate(t, "middle")
	cross := newIssued(t, middle.key, other, authority("middle")) // the same key and name, by the other CA
	leaf := ca.server(t)
	under := middle.server(t)
	rsaLeaf := newIssued(t, rsaKey(2048), ca, server)
	alone := newIssued(t, ecKey(elliptic.P256()), nil, server, func(c *x509.Certificate) { c.BasicConstraintsValid = false })
	wild := ca.server(t, func(c *x509.Certificate) { c.DNSNames = []string{"*.ns.svc"} })
	anyUse := ca.server(t, func(c *x509.Certificate) { c.ExtKeyUsage = nil })
	old := newCA(t, "mesh", from(-900*day, -day))
	soon := newIssued(t, ca.key, nil, authority("mesh"), from(-day, day)) // the CA's key, to end tomorrow
	for _, test := range []struct {
		name   string
		secret *corev1.Secret
		cas    []*issued
		ends   time.Time
	}{
		{"as cert-manager writes it", secretOf(certPEM(leaf), leaf.keyPEM(t), certPEM(ca)), []*issued{ca}, leaf.cert.NotAfter},
		{"RSA", secretOf(certPEM(rsaLeaf), rsaLeaf.keyPEM(t), certPEM(ca)), []*issued{ca}, leaf.cert.NotAfter},
		{"RSA in PKCS #1", secretOf(certPEM(rsaLeaf), block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaLeaf.key.(*rsa.PrivateKey))), certPEM(ca)), []*issued{ca}, leaf.cert.NotAfter},
		{"ECDSA in SEC 1, parameters before it", secretOf(certPEM(leaf), append(block("EC PARAMETERS", []byte{6, 1, 0}), sec1(t, leaf)...), certPEM(ca)), []*issued{ca}, leaf.cert.NotAfter},
		{"a chain under a root", secretOf(certPEM(under, middle), under.keyPEM(t), certPEM(ca)), []*issued{ca}, under.cert.NotAfter},
		{"the intermediate as the CA", secretOf(certPEM(under), under.keyPEM(t), certPEM(middle)), []*issued{middle}, under.cert.NotAfter},
		{"no ca.crt, but the root at the chain's end", secretOf(certPEM(under, middle, ca), under.keyPEM(t), nil), []*issued{ca}, under.cert.NotAfter},
		{"ca.crt is empty", secretOf(certPEM(leaf, ca), leaf.keyPEM(t), []byte(" \n")), []*issued{ca}, leaf.cert.NotAfter},
		{"self-signed server certificate", secretOf(certPEM(alone), alone.keyPEM(t), nil), []*issued{alone}, alone.cert.NotAfter},
		{"it and ca.crt the same", secretOf(certPEM(alone), alone.keyPEM(t), certPEM(alone)), []*issued{alone}, alone.cert.NotAfter},
		{"some of the CAs", secretOf(certPEM(leaf), leaf.keyPEM(t), certPEM(other, old, ca, ca, middle)), []*issued{ca}, leaf.cert.NotAfter},
		{"all of the CAs", secretOf(certPEM(under, middle, cross), under.keyPEM(t), certPEM(other, ca, middle)), []*issued{other, ca, middle}, under.cert.NotAfter},
		{"the CA that lasts comes first", secretOf(certPEM(leaf), leaf.keyPEM(t), certPEM(soon, ca)), []*issued{ca, soon}, leaf.cert.NotAfter},
		{"its CA ends before it", secretOf(certPEM(leaf), leaf.keyPEM(t), certPEM(soon)), []*issued{soon}, soon.cert.NotAfter},
		{"wildcard", secretOf(certPEM(wild), wild.keyPEM(t), certPEM(ca)), []*issued{ca}, wild.cert.NotAfter},
		{"no usage is any usage", secretOf(certPEM(anyUse), anyUse.keyPEM(t), certPEM(ca)), []*issued{ca}, anyUse.cert.NotAfter},
		{"words between blocks", secretOf(append([]byte("subject=CN = x\n"), certPEM(leaf)...), leaf.keyPEM(t), certPEM(ca)), []*issued{ca}, leaf.cert.NotAfter},
		{"Windows line ends", secretOf(bytes.ReplaceAll(certPEM(leaf), []byte("\n"), []byte("\r\n")), leaf.keyPEM(t), certPEM(ca)), []*issued{ca}, leaf.cert.NotAfter},
		{"key before certificate in one text", secretOf(append(leaf.keyPEM(t), certPEM(leaf)...), append(certPEM(leaf), leaf.keyPEM(t)...), certPEM(ca)), []*issued{ca}, leaf.cert.NotAfter},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, err := FromSecret(test.secret, wanted, now)
			if err != nil {
				t.Fatal(err)
			}
			if p.Origin != "Secret ns/mine" || !p.Ends.Equal(test.ends) {
				t.Errorf("origin %q, ends %s, want %s", p.Origin, p.Ends, test.ends)
			}
			if !slices.EqualFunc(p.CAs, test.cas, func(c *x509.Certificate, i *issued) bool { return c.Equal(i.cert) }) || p.CA != p.CAs[0] {
				t.Errorf("CAs %v, want others", p.CAs)
			}
			for _, ca := range p.CAs {
				handshake(t, p, ca)
			}
		})
	}
}

// ten is a CA's text with ten others before it.
func ten(t *testing.T, ca *issued) []byte {
	var all []*issued
	for range 10 {
		all = append(all, newCA(t, "one of ten"))
	}
	return certPEM(append(all, ca)...)
}

func TestTenOtherCAsDontMatter(t *testing.T) {
	ca := newCA(t, "mesh")
	leaf := ca.server(t)
	p, err := FromSecret(secretOf(certPEM(leaf), leaf.keyPEM(t), ten(t, ca)), wanted, now)
	if err != nil || len(p.CAs) != 1 || !p.CA.Equal(ca.cert) {
		t.Fatalf("%v, %v", p, err)
	}
}

func TestPairsRefused(t *testing.T) {
	ca, other := newCA(t, "mesh"), newCA(t, "other")
	twin := newCA(t, "mesh") // a foreign CA with our name
	middle := ca.intermediate(t, "middle")
	leaf, second, under := ca.server(t), ca.server(t), middle.server(t)
	key, good, text := leaf.keyPEM(t), certPEM(ca), string(certPEM(leaf))
	serve := func(changes ...change) *issued { return ca.server(t, changes...) }
	named := serve(func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = []string{"pillion.ns.svc"}, nil })
	common := serve(func(c *x509.Certificate) {
		c.DNSNames, c.IPAddresses, c.Subject = nil, nil, pkix.Name{CommonName: "pillion.ns.svc"}
	})
	client := serve(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })
	ended, early := serve(from(-2*day, -day)), serve(from(time.Hour, 2*day))
	oldCA, newer := newCA(t, "old", from(-900*day, -day)), newCA(t, "newer", from(day, 900*day))
	underOld, underNewer := oldCA.server(t), newer.server(t)
	oldMiddle := ca.intermediate(t, "old middle", from(-9*day, -day))
	underOldMiddle := oldMiddle.server(t)
	ed, small, p224 := newIssued(t, edKey(), ca, server), newIssued(t, rsaKey(1024), ca, server), newIssued(t, ecKey(elliptic.P224()), ca, server)
	edCA := newIssued(t, edKey(), nil, authority("ed"))
	underEd := edCA.server(t)
	long := []*issued{leaf}
	for range maxChain {
		long = append(long, middle)
	}
	const crtAt, keyAt, caAt = "Secret ns/mine, key tls.crt", "Secret ns/mine, key tls.key", "Secret ns/mine, key ca.crt"
	for _, test := range []struct {
		name         string
		crt, key, ca []byte
		reason       string
		says         []string
	}{
		{"empty", nil, nil, nil, Missing, []string{crtAt, "missing"}},
		{"no key", certPEM(leaf), nil, good, Missing, []string{keyAt, "missing"}},
		{"garbage", []byte("garbage"), key, good, Unparsable, []string{crtAt, "CERTIFICATE", "PEM"}},
		{"garbage for a key", certPEM(leaf), []byte("hunter2"), good, Unparsable, []string{keyAt, "PRIVATE KEY"}},
		{"garbage for a CA", certPEM(leaf), key, []byte("garbage"), Unparsable, []string{caAt}},
		{"DER", leaf.cert.Raw, key, good, Unparsable, []string{crtAt, "DER"}},
		{"a certificate of noise", block("CERTIFICATE", []byte("noise")), key, good, Unparsable, []string{crtAt, "certificate 1"}},
		{"joined without a line end", []byte(strings.TrimSpace(text) + text), key, good, Unparsable, []string{crtAt, "2 PEM blocks begin"}},
		{"cut short", []byte(text + text[:len(text)/2]), key, good, Unparsable, []string{crtAt, "2 PEM blocks begin, but only 1"}},
		{"a key of noise", certPEM(leaf), block("PRIVATE KEY", []byte("noise")), good, Unparsable, []string{keyAt, "PKCS #8"}},
		{"encrypted", certPEM(leaf), block("ENCRYPTED PRIVATE KEY", []byte("noise")), good, Unparsable, []string{keyAt, "passphrase"}},
		{"large", append(certPEM(leaf), make([]byte, maxText)...), key, good, TooLarge, []string{crtAt, "at most 65536"}},
		{"long", certPEM(long...), key, good, TooLarge, []string{crtAt, "more than 8 certificates"}},
		{"another's key", certPEM(leaf), second.keyPEM(t), good, KeyMismatch, []string{keyAt, publicID(second.key.Public()), publicID(leaf.key.Public()), "same issuance"}},
		{"wrong order", certPEM(middle, under), under.keyPEM(t), good, KeyMismatch, []string{crtAt, "certificate 2", "first"}},
		{"one name", certPEM(named), named.keyPEM(t), good, NamesMissing, []string{crtAt, "isn't for pillion-probe.ns.svc, 127.0.0.1", "it is for pillion.ns.svc"}},
		{"common name only", certPEM(common), common.keyPEM(t), good, NamesMissing, []string{crtAt, "it is for no name"}},
		{"for clients", certPEM(client), client.keyPEM(t), good, UsageMissing, []string{crtAt, "serverAuth"}},
		{"ended", certPEM(ended), ended.keyPEM(t), good, Expired, []string{crtAt, "2030-04-30T12:00:00Z", "replace"}},
		{"early", certPEM(early), early.keyPEM(t), good, NotYetValid, []string{crtAt, "2030-05-01T13:00:00Z", "clock"}},
		{"Ed25519", certPEM(ed), ed.keyPEM(t), good, KeyUnsupported, []string{crtAt, "Ed25519", "P-256"}},
		{"RSA 1024", certPEM(small), small.keyPEM(t), good, KeyUnsupported, []string{crtAt, "1024 bits", "2048"}},
		{"P-224", certPEM(p224), p224.keyPEM(t), good, KeyUnsupported, []string{crtAt, "P-224"}},
		{"an Ed25519 CA", certPEM(underEd), underEd.keyPEM(t), certPEM(edCA), KeyUnsupported, []string{caAt, "CN=ed", "Ed25519"}},
		{"no CA at all", certPEM(under, middle), under.keyPEM(t), nil, NoCA, []string{"Secret ns/mine", caAt, "CN=middle"}},
		{"another's CA", certPEM(leaf), key, certPEM(other), ChainBroken, []string{caAt, crtAt, "CN=mesh", "CN=other"}},
		{"a foreign CA with our name", certPEM(leaf), key, certPEM(twin), ChainBroken, []string{caAt, crtAt}},
		{"no intermediate", certPEM(under), under.keyPEM(t), good, ChainBroken, []string{caAt, "CN=middle", "certificates between"}},
		{"a CA that ended", certPEM(underOld), underOld.keyPEM(t), certPEM(oldCA), Expired, []string{caAt, "CN=old", "ended"}},
		{"a CA to come", certPEM(underNewer), underNewer.keyPEM(t), certPEM(newer), NotYetValid, []string{caAt, "CN=newer"}},
		{"an intermediate that ended", certPEM(underOldMiddle, oldMiddle), underOldMiddle.keyPEM(t), good, Expired, []string{crtAt, "CN=old middle"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, err := FromSecret(secretOf(test.crt, test.key, test.ca), wanted, now)
			var r *Refused
			if p != nil || !errors.As(err, &r) {
				t.Fatalf("pair %v, error %v", p, err)
			}
			if r.Reason != test.reason {
				t.Errorf("reason %s, want %s", r.Reason, test.reason)
			}
			for _, word := range test.says {
				if !strings.Contains(r.Message, word) {
					t.Errorf("message lacks %q: %s", word, r.Message)
				}
			}
			if len(r.Message) > 1500 || len(test.key) > 0 && strings.Contains(r.Message, "hunter2") {
				t.Errorf("message: %s", r.Message)
			}
		})
	}
}
