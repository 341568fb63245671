package rig

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/url"
	"testing"
	"time"
)

// CA issues certificates of a mesh.
type CA struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	PEM  string // of its certificate
	n    int64
}

// NewCA returns a CA of its own key.
func NewCA(t testing.TB) *CA {
	ca := &CA{t: t, key: newKey(t)}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, ca.key.Public(), ca.key)
	if err == nil {
		ca.cert, err = x509.ParseCertificate(der)
	}
	if err != nil {
		t.Fatal(err)
	}
	ca.PEM = encode("CERTIFICATE", der)
	return ca
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func encode(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// Pair is a certificate with its key, in PEM.
type Pair struct{ Cert, Key string }

// Issue makes a certificate for the workload called name.
func (ca *CA) Issue(name string) Pair {
	ca.t.Helper()
	ca.n++
	key := newKey(ca.t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1 + ca.n), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		URIs:        []*url.URL{{Scheme: "spiffe", Host: "cluster.local", Path: "/ns/test/sa/" + name}},
		DNSNames:    []string{name},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, key.Public(), ca.key)
	if err != nil {
		ca.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		ca.t.Fatal(err)
	}
	return Pair{encode("CERTIFICATE", der), encode("PRIVATE KEY", private)}
}

// TLS is the pair for crypto/tls.
func (p Pair) TLS() tls.Certificate {
	c, err := tls.X509KeyPair([]byte(p.Cert), []byte(p.Key))
	if err != nil {
		panic(err)
	}
	return c
}

// ServerTLS is the transport socket of a listener whose clients must have a certificate of ca.
func ServerTLS(ca *CA, p Pair, alpn ...string) JSON {
	return socket("DownstreamTlsContext", JSON{"require_client_certificate": true, "common_tls_context": common(ca, p, alpn)})
}

// ClientTLS is the transport socket of a cluster whose hosts must have a certificate of ca.
func ClientTLS(ca *CA, p Pair, sni string, alpn ...string) JSON {
	return JSON{"transport_socket": socket("UpstreamTlsContext", JSON{"sni": sni, "common_tls_context": common(ca, p, alpn)})}
}

// TLSBySDS is a listener's transport socket whose secrets "default" and "ROOTCA" come over ADS.
func TLSBySDS(alpn ...string) JSON {
	secret := func(name string) JSON {
		return JSON{"name": name, "sds_config": JSON{"ads": JSON{}, "resource_api_version": "V3"}}
	}
	return socket("DownstreamTlsContext", JSON{"require_client_certificate": true, "common_tls_context": JSON{
		"alpn_protocols": alpn, "tls_certificate_sds_secret_configs": []JSON{secret("default")},
		"validation_context_sds_secret_config": secret("ROOTCA"),
	}})
}

func common(ca *CA, p Pair, alpn []string) JSON {
	return JSON{
		"alpn_protocols":     alpn,
		"tls_certificates":   []JSON{{"certificate_chain": JSON{"inline_string": p.Cert}, "private_key": JSON{"inline_string": p.Key}}},
		"validation_context": JSON{"trusted_ca": JSON{"inline_string": ca.PEM}},
	}
}

func socket(kind string, fields JSON) JSON {
	return JSON{"name": "envoy.transport_sockets.tls", "typed_config": Typed("envoy.extensions.transport_sockets.tls.v3."+kind, fields)}
}
