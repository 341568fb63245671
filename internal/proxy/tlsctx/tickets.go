package tlsctx

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"hash"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// setTickets gives t the key that session tickets are encrypted with. It comes from the private keys and the trust
// bundle: processes that share them, as two epochs do, take each other's tickets; when either rotates, all old tickets
// are void. Without a key in memory (one behind a device) crypto/tls makes one of its own.
func (d *derived) setTickets(c *config.ServerTLS, t *tls.Config) {
	if c.NoTickets {
		t.SessionTicketsDisabled = true
		return
	}
	h := sha256.New()
	h.Write([]byte("pillion session tickets 1"))
	for _, certificate := range d.certificates {
		secret, ok := secretOf(certificate.Key)
		if !ok {
			return
		}
		writePart(h, secret)
		for _, der := range certificate.Chain {
			writePart(h, der)
		}
	}
	writeTrust(h, d.trust)
	t.SetSessionTicketKeys([][32]byte{[32]byte(h.Sum(nil))})
}

func writeTrust(h hash.Hash, trust *config.Trust) {
	if trust == nil {
		return
	}
	writeRoots(h, trust.Roots)
	if trust.SystemRoots {
		writePart(h, []byte("system"))
	}
	for _, crl := range trust.CRL {
		writePart(h, crl.Raw)
	}
	for _, domain := range sortedDomains(trust) {
		writePart(h, []byte(domain))
		writeRoots(h, trust.Domains[domain])
	}
}

func writeRoots(h hash.Hash, roots []*x509.Certificate) {
	for _, root := range roots {
		writePart(h, root.Raw)
	}
	writePart(h, nil)
}

// writePart writes the length too, so that no two lists of parts hash alike.
func writePart(h hash.Hash, part []byte) {
	n := len(part)
	h.Write([]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
	h.Write(part)
}

func secretOf(key any) ([]byte, bool) {
	switch key.(type) {
	case *ecdsa.PrivateKey, ed25519.PrivateKey, *rsa.PrivateKey:
		der, err := x509.MarshalPKCS8PrivateKey(key)
		return der, err == nil
	default:
		return nil, false
	}
}
