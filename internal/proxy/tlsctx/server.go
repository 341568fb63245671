// Package tlsctx makes crypto/tls configurations of TLS contexts. A config.ServerTLS or ClientTLS comes in; a
// *tls.Config goes out that reads certificates and trust from their cells at each handshake, so that rotation changes
// no listener and no cluster and touches no live connection. Read server.go first, then client.go, verify.go (who is
// let in), tickets.go, describe.go (what a handshake established, or why it failed).
package tlsctx

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// Errors of handshakes before the peer has shown anything.
var (
	ErrNoCertificate = errors.New("the certificate isn't there yet")
	ErrNoTrust       = errors.New("the trust bundle isn't there yet")
	ErrNoServerName  = errors.New("the client sent no server name")
)

// Server returns the configuration of a downstream TLS context. It is used for any number of connections.
func Server(c *config.ServerTLS) *tls.Config {
	s := &server{config: c}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: s.forClient}
}

// server keeps what it derived from the cells until one of them changes.
type server struct {
	config  *config.ServerTLS
	current atomic.Pointer[derived]
}

// derived is a configuration made of just these certificates and this trust.
type derived struct {
	certificates []*config.Certificate
	trust        *config.Trust
	config       *tls.Config
	withoutALPN  *tls.Config
}

// forClient chooses the configuration for one handshake. Where no protocol of the client is known the connection goes
// on without one, as Envoy does; crypto/tls would refuse it.
func (s *server) forClient(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	if s.config.RequireSNI && hello.ServerName == "" {
		return nil, ErrNoServerName
	}
	d, err := s.derive()
	if err != nil {
		return nil, err
	}
	if len(hello.SupportedProtos) > 0 && !overlap(hello.SupportedProtos, s.config.ALPN) {
		return d.withoutALPN, nil
	}
	return d.config, nil
}

func overlap(a, b []string) bool {
	for _, x := range a {
		for _, y := range b {
			if x == y {
				return true
			}
		}
	}
	return false
}

// derive returns the configuration of the cells' present values. Two handshakes may derive the same at once; the ticket
// keys are the same too.
func (s *server) derive() (*derived, error) {
	if d := s.current.Load(); d != nil && d.trust == trustOf(&s.config.TLSParams) && sameCertificates(d.certificates, s.config.Certificates) {
		return d, nil
	}
	d, err := newDerived(s.config)
	if err != nil {
		return nil, err
	}
	s.current.Store(d)
	return d, nil
}

func sameCertificates(have []*config.Certificate, cells []*config.Cell[config.Certificate]) bool {
	for i, cell := range cells {
		if have[i] != cell.Load() {
			return false
		}
	}
	return true
}

func trustOf(p *config.TLSParams) *config.Trust {
	if p.Trust == nil {
		return nil
	}
	return p.Trust.Load()
}

func newDerived(c *config.ServerTLS) (*derived, error) {
	d := &derived{trust: trustOf(&c.TLSParams)}
	if c.Trust != nil && d.trust == nil {
		return nil, ErrNoTrust
	}
	t := params(&c.TLSParams)
	for _, cell := range c.Certificates {
		certificate := cell.Load()
		if certificate == nil {
			return nil, ErrNoCertificate
		}
		d.certificates = append(d.certificates, certificate)
		t.Certificates = append(t.Certificates, certificateOf(certificate))
	}
	if len(t.Certificates) == 0 {
		return nil, ErrNoCertificate
	}
	t.ClientAuth = clientAuth(c)
	t.VerifyConnection = serverVerifier(c, d.trust)
	if d.trust != nil {
		t.ClientCAs = pool(d.trust.Roots) // only names for the client to choose a certificate by
	}
	d.setTickets(c, t)
	d.config, d.withoutALPN = t, t.Clone()
	d.withoutALPN.NextProtos = nil
	return d, nil
}

// clientAuth leaves the checking of certificates to VerifyConnection: crypto/tls knows nothing of trust domains.
func clientAuth(c *config.ServerTLS) tls.ClientAuthType {
	switch {
	case c.RequireClient:
		return tls.RequireAnyClientCert
	case c.Trust != nil:
		return tls.RequestClientCert
	default:
		return tls.NoClientCert
	}
}

// params are what both sides have. Versions of 0 are 1.2 and 1.3; a context that asks for less gets it.
func params(p *config.TLSParams) *tls.Config {
	t := &tls.Config{MinVersion: p.MinVersion, MaxVersion: p.MaxVersion, CipherSuites: p.Ciphers, NextProtos: p.ALPN}
	if t.MinVersion == 0 {
		t.MinVersion = tls.VersionTLS12
	}
	for _, curve := range p.Curves {
		t.CurvePreferences = append(t.CurvePreferences, tls.CurveID(curve))
	}
	return t
}

func certificateOf(c *config.Certificate) tls.Certificate {
	return tls.Certificate{Certificate: c.Chain, PrivateKey: crypto.PrivateKey(c.Key), Leaf: c.Leaf, OCSPStaple: c.OCSP}
}

func pool(list []*x509.Certificate) *x509.CertPool {
	p := x509.NewCertPool()
	for _, c := range list {
		p.AddCert(c)
	}
	return p
}

// refuse wraps what VerifyConnection found, so that the reason can be told from what crypto/tls itself found.
func refuse(kind Kind, format string, args ...any) error {
	return &VerifyError{Kind: kind, Detail: fmt.Sprintf(format, args...)}
}
