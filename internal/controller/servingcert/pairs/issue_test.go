package pairs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var (
	now    = time.Date(2030, 5, 1, 12, 0, 0, 0, time.UTC)
	wanted = []string{"pillion.ns.svc", "pillion-probe.ns.svc", "127.0.0.1"}
)

// issued is a certificate with its key, able to issue others.
type issued struct {
	cert *x509.Certificate
	key  crypto.Signer
}

type change func(*x509.Certificate)

func ecKey(curve elliptic.Curve) crypto.Signer {
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
}

// rsaKey makes each size once: large ones take seconds.
var rsaKey = func() func(bits int) crypto.Signer {
	var mu sync.Mutex
	made := map[int]crypto.Signer{}
	return func(bits int) crypto.Signer {
		mu.Lock()
		defer mu.Unlock()
		if made[bits] == nil {
			key, err := rsa.GenerateKey(rand.Reader, bits)
			if err != nil {
				panic(err)
			}
			made[bits] = key
		}
		return made[bits]
	}
}()

func edKey() crypto.Signer {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
}

// newIssued signs by parent, or by itself if that is nil.
func newIssued(t testing.TB, key crypto.Signer, parent *issued, changes ...change) *issued {
	t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: serial, NotBefore: now.Add(-30 * day), NotAfter: now.Add(60 * day), BasicConstraintsValid: true}
	for _, c := range changes {
		c(template)
	}
	by := issued{template, key}
	if parent != nil {
		by = *parent
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by.cert, key.Public(), by.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &issued{cert, key}
}

func authority(name string) change {
	return func(c *x509.Certificate) {
		c.Subject = pkix.Name{CommonName: name}
		c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign
		c.NotAfter = now.Add(3650 * day)
	}
}

func server(c *x509.Certificate) {
	c.DNSNames = []string{"pillion.ns.svc", "pillion-probe.ns.svc"}
	c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
}

func from(begin, end time.Duration) change {
	return func(c *x509.Certificate) { c.NotBefore, c.NotAfter = now.Add(begin), now.Add(end) }
}

func newCA(t testing.TB, name string, changes ...change) *issued {
	return newIssued(t, ecKey(elliptic.P256()), nil, append([]change{authority(name)}, changes...)...)
}

func (i *issued) intermediate(t testing.TB, name string, changes ...change) *issued {
	return newIssued(t, ecKey(elliptic.P256()), i, append([]change{authority(name)}, changes...)...)
}

func (i *issued) server(t testing.TB, changes ...change) *issued {
	return newIssued(t, ecKey(elliptic.P256()), i, append([]change{server}, changes...)...)
}

func certPEM(all ...*issued) []byte {
	var text []byte
	for _, i := range all {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.cert.Raw})...)
	}
	return text
}

func (i *issued) keyPEM(t testing.TB) []byte {
	der, err := x509.MarshalPKCS8PrivateKey(i.key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func secretOf(crt, key, ca []byte) *corev1.Secret {
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "mine"}, Data: map[string][]byte{KeyCertificate: crt, KeyPrivate: key}}
	if ca != nil {
		s.Data[KeyCA] = ca
	}
	return s
}
