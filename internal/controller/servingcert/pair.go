package servingcert

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"time"
)

// pair is a CA: certificate and key.
type pair struct {
	Cert *x509.Certificate
	Key  crypto.Signer
}

// leaf is a serving certificate and the CA that signed it.
type leaf struct {
	tls tls.Certificate
	crt *x509.Certificate
	ca  *x509.Certificate
	at  time.Time // when to renew
}

func (l *leaf) signedBy(ca *x509.Certificate) bool { return bytes.Equal(l.ca.Raw, ca.Raw) }

// validAt allows for a NotBefore in the future: a clock that lags must not cost the certificate.
func validAt(c *x509.Certificate, now time.Time) bool { return now.Before(c.NotAfter) }

// newCA makes a self-signed CA. The key id in the subject keeps two CAs of one Service apart: chains are built by
// subject, and two with the same one send some TLS stacks down the wrong path.
func newCA(service string, life time.Duration, now time.Time) (*pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making the CA's key: %w", err)
	}
	id, err := keyID(key.Public())
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: SecretName(service) + " " + hex.EncodeToString(id[:4])},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(life),
		IsCA:                  true,
		MaxPathLenZero:        true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
		SubjectKeyId:          id,
		AuthorityKeyId:        id,
	}
	cert, err := sign(template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("signing the CA: %w", err)
	}
	return &pair{Cert: cert, Key: key}, nil
}

// newLeaf signs a serving certificate for names, which may be addresses. It never outlives its CA.
func (p *pair) newLeaf(names []string, life time.Duration, now time.Time, jitter float64) (*leaf, error) {
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
		NotAfter:       earlier(now.Add(life), p.Cert.NotAfter),
		KeyUsage:       x509.KeyUsageDigitalSignature,
		ExtKeyUsage:    []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		SubjectKeyId:   id,
		AuthorityKeyId: p.Cert.SubjectKeyId,
	}
	template.DNSNames, template.IPAddresses = split(names)
	cert, err := sign(template, p.Cert, key.Public(), p.Key)
	if err != nil {
		return nil, fmt.Errorf("signing the serving certificate: %w", err)
	}
	return &leaf{
		tls: tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert},
		crt: cert, ca: p.Cert, at: renewAt(now, cert.NotAfter, jitter),
	}, nil
}

// renewAt is at 2/3 of the life from now to end, ± 10 % of it, so that replicas don't renew together.
func renewAt(now, end time.Time, jitter float64) time.Time {
	life := float64(end.Sub(now))
	return now.Add(time.Duration(life * (2.0/3 + (jitter-0.5)*0.2)))
}

func sign(template, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial.Add(serial, big.NewInt(1)) // zero is no serial
	template.SignatureAlgorithm = x509.ECDSAWithSHA256
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

func keyID(public crypto.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("encoding a public key: %w", err)
	}
	sum := sha256.Sum256(der)
	return sum[:20], nil
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

// parseCertificate reads exactly one CA certificate.
func parseCertificate(text []byte) (*x509.Certificate, error) {
	block, rest := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("no PEM block CERTIFICATE")
	}
	if len(bytes.TrimSpace(rest)) != 0 {
		return nil, errors.New("more than one PEM block")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, err
	}
	if !cert.IsCA || !cert.BasicConstraintsValid {
		return nil, errors.New("not a CA certificate")
	}
	return cert, nil
}

// parsePair reads a CA's certificate and key and proves that they belong together.
func parsePair(certText, keyText []byte) (*pair, error) {
	cert, err := parseCertificate(certText)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	block, _ := pem.Decode(keyText)
	if block == nil {
		return nil, errors.New("key: no PEM block")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("key: want ECDSA, have %T", parsed)
	}
	if !key.PublicKey.Equal(cert.PublicKey) {
		return nil, errors.New("key: belongs to another certificate")
	}
	return &pair{Cert: cert, Key: key}, nil
}

func encodeCertificate(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

func encodeKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encoding the CA's key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}
