// Package tlstest makes authorities and certificates for the tests of packages that speak TLS. Only tests import it.
package tlstest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/url"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// Authority signs certificates.
type Authority struct {
	Certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// NewAuthority returns an authority of that name.
func NewAuthority(t testing.TB, name string) *Authority {
	t.Helper()
	key := newKey(t)
	template := template(t)
	template.Subject.CommonName = name
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	template.ExtKeyUsage = nil
	return &Authority{sign(t, template, template, &key.PublicKey, key), key}
}

// Issue returns a certificate for both sides, good for an hour, changed by change (which may be nil).
func (a *Authority) Issue(t testing.TB, change func(*x509.Certificate)) *config.Certificate {
	t.Helper()
	key := newKey(t)
	template := template(t)
	if change != nil {
		change(template)
	}
	leaf := sign(t, template, a.Certificate, &key.PublicKey, a.key)
	return &config.Certificate{Chain: [][]byte{leaf.Raw}, Leaf: leaf, Key: key}
}

// Workload returns a certificate with that SPIFFE identity.
func (a *Authority) Workload(t testing.TB, id string) *config.Certificate {
	t.Helper()
	return a.Issue(t, func(c *x509.Certificate) { c.URIs = URIs(t, id) })
}

// Server returns a certificate for that host name or address.
func (a *Authority) Server(t testing.TB, host string) *config.Certificate {
	t.Helper()
	return a.Issue(t, func(c *x509.Certificate) {
		if ip := net.ParseIP(host); ip != nil {
			c.IPAddresses = []net.IP{ip}
			return
		}
		c.DNSNames = []string{host}
	})
}

// Trust trusts this authority alone.
func (a *Authority) Trust() *config.Trust {
	return &config.Trust{Roots: []*x509.Certificate{a.Certificate}}
}

// Revoke returns a revocation list with these certificates, valid until next.
func (a *Authority) Revoke(t testing.TB, next time.Time, revoked ...*config.Certificate) *x509.RevocationList {
	t.Helper()
	list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: next.Add(-48 * time.Hour), NextUpdate: next}
	for _, c := range revoked {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: c.Leaf.SerialNumber, RevocationTime: list.ThisUpdate})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, a.Certificate, a.key)
	must(t, err)
	parsed, err := x509.ParseRevocationList(der)
	must(t, err)
	return parsed
}

// URIs parses URI SANs.
func URIs(t testing.TB, texts ...string) (list []*url.URL) {
	t.Helper()
	for _, text := range texts {
		u, err := url.Parse(text)
		must(t, err)
		list = append(list, u)
	}
	return list
}

func template(t testing.TB) *x509.Certificate {
	t.Helper()
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100))
	must(t, err)
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{Organization: []string{"tlstest"}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return key
}

func sign(t testing.TB, template, parent *x509.Certificate, public *ecdsa.PublicKey, key *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	must(t, err)
	c, err := x509.ParseCertificate(der)
	must(t, err)
	return c
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
