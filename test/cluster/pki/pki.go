// Package pki makes the certificates of a test cluster: one authority, serving and client certificates, the key of
// service accounts, and kubeconfig files. Nothing here is meant to hold against anyone.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

const lifetime = 365 * 24 * time.Hour

// Pair is a certificate and its key in PEM.
type Pair struct{ Cert, Key []byte }

// Authority signs.
type Authority struct {
	Pair
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// Subject says whom a certificate is for. With Hosts it serves, without it's a client's.
type Subject struct {
	Name   string
	Groups []string
	Hosts  []string // DNS names and IP addresses
}

// NewAuthority makes a self-signed authority; now is its clock.
func NewAuthority(name string, now time.Time) (*Authority, error) {
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: name},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	a := &Authority{}
	var err error
	a.Pair, a.certificate, a.key, err = sign(template, nil, nil, now)
	if err != nil {
		return nil, fmt.Errorf("making authority %q: %w", name, err)
	}
	return a, nil
}

// Load reads an authority written by Pair.Write.
func Load(folder, name string) (*Authority, error) {
	cert, err := os.ReadFile(filepath.Join(folder, name+".crt"))
	if err != nil {
		return nil, fmt.Errorf("reading the cluster's authority: %w", err)
	}
	key, err := os.ReadFile(filepath.Join(folder, name+".key"))
	if err != nil {
		return nil, fmt.Errorf("reading the cluster's authority: %w", err)
	}
	return parse(Pair{Cert: cert, Key: key})
}

func parse(p Pair) (*Authority, error) {
	certBlock, _ := pem.Decode(p.Cert)
	keyBlock, _ := pem.Decode(p.Key)
	if certBlock == nil || keyBlock == nil {
		return nil, fmt.Errorf("reading the cluster's authority: no PEM block")
	}
	certificate, err := x509.ParseCertificate(certBlock.Bytes)
	if err != nil {
		return nil, fmt.Errorf("reading the cluster's authority: %w", err)
	}
	key, err := x509.ParseECPrivateKey(keyBlock.Bytes)
	if err != nil {
		return nil, fmt.Errorf("reading the cluster's authority: %w", err)
	}
	return &Authority{Pair: p, certificate: certificate, key: key}, nil
}

// Issue signs a certificate for s.
func (a *Authority) Issue(s Subject, now time.Time) (Pair, error) {
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: s.Name, Organization: s.Groups},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for _, host := range s.Hosts {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	pair, _, _, err := sign(template, a.certificate, a.key, now)
	if err != nil {
		return Pair{}, fmt.Errorf("issuing a certificate for %q: %w", s.Name, err)
	}
	return pair, nil
}

// sign completes template with a serial number, a validity and a new key; without a parent it signs itself.
func sign(template, parent *x509.Certificate, signer *ecdsa.PrivateKey, now time.Time) (Pair, *x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Pair{}, nil, nil, err
	}
	if parent == nil {
		parent, signer = template, key
	}
	template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return Pair{}, nil, nil, err
	}
	template.NotBefore, template.NotAfter = now.Add(-time.Hour), now.Add(lifetime)
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return Pair{}, nil, nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return Pair{}, nil, nil, err
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return Pair{}, nil, nil, err
	}
	pair := Pair{Cert: encode("CERTIFICATE", der), Key: encode("EC PRIVATE KEY", keyDER)}
	return pair, certificate, key, nil
}

// ServiceAccountKey makes the RSA key that signs service account tokens, and its public half.
func ServiceAccountKey() (Pair, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return Pair{}, fmt.Errorf("making the key of service accounts: %w", err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return Pair{}, fmt.Errorf("making the key of service accounts: %w", err)
	}
	return Pair{Cert: encode("PUBLIC KEY", public), Key: encode("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key))}, nil
}

// Write leaves name.crt and name.key in folder, readable for the owner alone.
func (p Pair) Write(folder, name string) error {
	for suffix, data := range map[string][]byte{".crt": p.Cert, ".key": p.Key} {
		if err := os.WriteFile(filepath.Join(folder, name+suffix), data, 0o600); err != nil {
			return fmt.Errorf("writing certificate %q: %w", name, err)
		}
	}
	return nil
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
