package servingcert

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net"
	"time"

	"github.com/pillion-mesh/pillion/internal/controller/servingcert/rotation"
)

// leaf is a serving certificate and the CA that API servers need to verify it.
type leaf struct {
	tls  tls.Certificate
	crt  *x509.Certificate
	ca   *x509.Certificate
	id   rotation.ID // of ca
	ends time.Time   // when it, or anything above it, does
	at   time.Time   // when to renew it; zero: somebody else does
	life time.Duration
}

func (l *leaf) authority() rotation.CA {
	if l == nil {
		return rotation.CA{}
	}
	return (&authority{Cert: l.ca}).ca()
}

// validAt allows for a NotBefore in the future: a clock that lags must not cost the certificate.
func (l *leaf) validAt(now time.Time) bool { return now.Before(l.ends) }

// newLeaf signs a serving certificate for names, which may be addresses. It never outlives its CA.
func (a *authority) newLeaf(names []string, life time.Duration, now time.Time, jitter float64) (*leaf, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making the serving key: %w", err)
	}
	id, err := keyID(key.Public())
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject:        pkix.Name{CommonName: names[0]},
		NotBefore:      now.Add(-backdate),
		NotAfter:       earlier(now.Add(life), a.Cert.NotAfter),
		KeyUsage:       x509.KeyUsageDigitalSignature,
		ExtKeyUsage:    []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		SubjectKeyId:   id,
		AuthorityKeyId: a.Cert.SubjectKeyId,
	}
	template.DNSNames, template.IPAddresses = split(names)
	cert, err := sign(template, a.Cert, key.Public(), a.Key)
	if err != nil {
		return nil, fmt.Errorf("signing the serving certificate: %w", err)
	}
	return &leaf{
		tls: tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert},
		crt: cert, ca: a.Cert, id: idOf(a.Cert), ends: cert.NotAfter, at: renewAt(now, cert.NotAfter, jitter), life: life,
	}, nil
}

// renewAt is at 2/3 of the life from now to end, ± 10 % of it, so that replicas don't renew together.
func renewAt(now, end time.Time, jitter float64) time.Time {
	life := float64(end.Sub(now))
	return now.Add(time.Duration(life * (2.0/3 + (jitter-0.5)*0.2)))
}

func split(names []string) (dns []string, addresses []net.IP) {
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			addresses = append(addresses, ip)
			continue
		}
		dns = append(dns, name)
	}
	return dns, addresses
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// intermediates are what is served with the leaf.
func (l *leaf) intermediates() *x509.CertPool {
	if len(l.tls.Certificate) < 2 {
		return nil
	}
	pool := x509.NewCertPool()
	for _, der := range l.tls.Certificate[1:] {
		if cert, err := x509.ParseCertificate(der); err == nil {
			pool.AddCert(cert)
		}
	}
	return pool
}
