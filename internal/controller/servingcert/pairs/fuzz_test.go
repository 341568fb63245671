package pairs

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"strings"
	"testing"
)

// Whatever a Secret holds: no panic, no pair whose key isn't its certificate's or that its CA doesn't verify, and no
// refusal that says nothing or tells the key.
func FuzzFromSecret(f *testing.F) {
	ca := newCA(f, "mesh")
	middle := ca.intermediate(f, "middle")
	leaf, under, rsaLeaf := ca.server(f), middle.server(f), newIssued(f, rsaKey(2048), ca, server)
	f.Add(certPEM(leaf), leaf.keyPEM(f), certPEM(ca))
	f.Add(certPEM(under, middle, ca), under.keyPEM(f), []byte{})
	f.Add(certPEM(rsaLeaf), rsaLeaf.keyPEM(f), certPEM(ca, middle))
	f.Add(certPEM(leaf), under.keyPEM(f), certPEM(ca))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"), []byte("x"), []byte("-----BEGIN "))
	f.Fuzz(func(t *testing.T, crt, key, ca []byte) {
		p, err := FromSecret(secretOf(crt, key, ca), wanted, now)
		if err != nil {
			var r *Refused
			if p != nil || !errors.As(err, &r) || r.Reason == "" || !strings.HasPrefix(r.Message, "Secret ns/mine") {
				t.Fatalf("pair %v, error %v", p, err)
			}
			tellsNothing(t, r.Message, key)
			return
		}
		sum := sha256.Sum256([]byte("x"))
		signature, err := p.Certificate.PrivateKey.(crypto.Signer).Sign(rand.Reader, sum[:], crypto.SHA256)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Certificate.Leaf.CheckSignature(algorithm(p.Certificate.Leaf), []byte("x"), signature); err != nil {
			t.Fatal(err)
		}
		if !p.Ends.After(now) || len(p.CAs) > maxAnchors || len(without(p.Certificate.Leaf, wanted)) > 0 {
			t.Fatalf("%+v", p)
		}
	})
}

func tellsNothing(t *testing.T, message string, key []byte) {
	for line := range bytes.Lines(key) {
		if line = bytes.TrimSpace(line); len(line) > 40 && strings.Contains(message, string(line)) {
			t.Fatalf("the key is told: %s", message)
		}
	}
}

func algorithm(c *x509.Certificate) x509.SignatureAlgorithm {
	if c.PublicKeyAlgorithm == x509.RSA {
		return x509.SHA256WithRSA
	}
	return x509.ECDSAWithSHA256
}
