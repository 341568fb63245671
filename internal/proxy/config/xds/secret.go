package xds

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

func (d *decoder) secret(raw []byte) *SecretValue {
	var m tlsv3.Secret
	if !d.parse(raw, &m) {
		return nil
	}
	out := &SecretValue{}
	switch s := m.Type.(type) {
	case *tlsv3.Secret_TlsCertificate:
		d.in("tls_certificate", func() { out.Certificate = d.certificate(s.TlsCertificate) })
	case *tlsv3.Secret_ValidationContext:
		d.in("validation_context", func() {
			if out.Trust = d.trust(s.ValidationContext); out.Trust == nil {
				out.Trust = &config.Trust{}
			}
		})
	case *tlsv3.Secret_SessionTicketKeys:
		d.failIn("session_ticket_keys", "not supported")
	case *tlsv3.Secret_GenericSecret:
		d.failIn("generic_secret", "not supported")
	default:
		d.fail("no secret in it")
	}
	return out
}

// certificate parses a chain and the key of its leaf. It returns nil on a problem.
func (d *decoder) certificate(c *tlsv3.TlsCertificate) *config.Certificate {
	d.certificateRefused(c)
	out := &config.Certificate{}
	d.in("certificate_chain", func() { d.chainPEM(d.source(c.GetCertificateChain()), out) })
	d.in("private_key", func() { out.Key = d.keyPEM(d.source(c.GetPrivateKey())) })
	if c.GetOcspStaple() != nil {
		d.in("ocsp_staple", func() { out.OCSP = d.source(c.GetOcspStaple()) })
	}
	if out.Leaf == nil || out.Key == nil {
		return nil
	}
	if !fits(out.Key, out.Leaf) {
		d.failIn("private_key", "doesn't fit the certificate")
	}
	return out
}

func (d *decoder) certificateRefused(c *tlsv3.TlsCertificate) {
	if c.GetPkcs12() != nil {
		d.failIn("pkcs12", "not supported")
	}
	if c.GetPassword() != nil {
		d.failIn("password", "encrypted keys are not supported")
	}
	if c.GetPrivateKeyProvider() != nil {
		d.failIn("private_key_provider", "not supported")
	}
}

func (d *decoder) chainPEM(text []byte, out *config.Certificate) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			out.Chain = append(out.Chain, block.Bytes)
		}
	}
	if len(out.Chain) == 0 {
		d.fail("no certificate in it")
		return
	}
	leaf, err := x509.ParseCertificate(out.Chain[0])
	if err != nil {
		d.fail("%s", err)
		return
	}
	out.Leaf = leaf
}

var errKeyFormat = errors.New("not a PKCS #1, PKCS #8 or EC private key in PEM")

// keyPEM parses the first private key of a PEM text.
func (d *decoder) keyPEM(text []byte) any {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "EC PARAMETERS" || block.Type == "CERTIFICATE" {
			continue
		}
		key, err := parseKey(block)
		if err != nil {
			d.fail("%s", err)
		}
		return key
	}
	d.fail("%s", errKeyFormat)
	return nil
}

// parseKey never has bytes of the key in its error.
func parseKey(block *pem.Block) (key any, err error) {
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "ENCRYPTED PRIVATE KEY":
		return nil, errors.New("encrypted keys are not supported")
	default:
		return nil, errKeyFormat
	}
	if err != nil {
		return nil, fmt.Errorf("%q can't be parsed", block.Type)
	}
	if _, ok := key.(crypto.Signer); !ok {
		return nil, errors.New("a key that can't sign")
	}
	return key, nil
}

// fits reports whether key is that of the certificate.
func fits(key any, leaf *x509.Certificate) bool {
	public, ok := key.(crypto.Signer).Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(leaf.PublicKey)
}
