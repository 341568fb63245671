package tlsctx

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// Kind is why a peer wasn't accepted.
type Kind uint8

// The kinds, in the order things are looked at.
const (
	NoPeerCertificate Kind = iota
	BadIdentity            // not exactly one URI SAN, or no SPIFFE id where one is needed
	UnknownDomain          // no roots for the peer's trust domain
	BadChain               // wrong authority, expired, wrong usage
	Revoked                // or the revocation list is missing or too old
	BadSAN                 // no matcher takes one of its names
	BadHash                // verify_certificate_hash or _spki
)

// VerifyError says why a peer wasn't accepted.
type VerifyError struct {
	Kind   Kind
	Detail string
	Err    error // of crypto/x509, if it comes from there
}

func (e *VerifyError) Error() string {
	if e.Err != nil {
		return e.Detail + ": " + e.Err.Error()
	}
	return e.Detail
}

func (e *VerifyError) Unwrap() error { return e.Err }

// serverVerifier checks a client against the trust the handshake began with. crypto/tls calls it for resumed sessions
// too, so that a ticket carries nobody past a rule that has come since.
func serverVerifier(c *config.ServerTLS, trust *config.Trust) func(tls.ConnectionState) error {
	return func(state tls.ConnectionState) error {
		if trust == nil || len(state.PeerCertificates) == 0 {
			return nil // a client certificate that is required and missing was refused before
		}
		v := verifier{params: &c.TLSParams, trust: trust, usage: x509.ExtKeyUsageClientAuth}
		return v.check(state.PeerCertificates, time.Now())
	}
}

func clientVerifier(c *config.ClientTLS, name string) func(tls.ConnectionState) error {
	return func(state tls.ConnectionState) error {
		if c.Trust == nil {
			return nil
		}
		trust := c.Trust.Load()
		switch {
		case trust == nil:
			return ErrNoTrust
		case len(state.PeerCertificates) == 0:
			return refuse(NoPeerCertificate, "the server sent no certificate")
		}
		v := verifier{params: &c.TLSParams, trust: trust, usage: x509.ExtKeyUsageServerAuth, name: name}
		return v.check(state.PeerCertificates, time.Now())
	}
}

// verifier holds one check of a peer.
type verifier struct {
	params *config.TLSParams
	trust  *config.Trust
	usage  x509.ExtKeyUsage
	name   string // a host name the certificate must be for; empty: none
}

// check accepts the peer with this chain, leaf first, or says why not. With TrustAny every peer is accepted.
func (v *verifier) check(chain []*x509.Certificate, now time.Time) error {
	if v.trust.TrustAny {
		return nil
	}
	return v.verify(chain, now)
}

func (v *verifier) verify(chain []*x509.Certificate, now time.Time) error {
	leaf := chain[0]
	if err := checkIdentity(leaf); err != nil {
		return err
	}
	if err := v.verifyChain(chain, now); err != nil {
		return err
	}
	if err := v.verifyNames(leaf); err != nil {
		return err
	}
	return v.verifyHashes(leaf)
}

// checkIdentity holds SPIFFE's rule: a certificate with a SPIFFE id has exactly one URI SAN (X.509-SVID, section 2).
func checkIdentity(leaf *x509.Certificate) error {
	if len(leaf.URIs) > 1 && slices.ContainsFunc(leaf.URIs, isSPIFFE) {
		return refuse(BadIdentity, "the peer's certificate has %d URI SANs, a SPIFFE identity is exactly one", len(leaf.URIs))
	}
	return nil
}

func isSPIFFE(u *url.URL) bool { return strings.EqualFold(u.Scheme, "spiffe") }

func (v *verifier) verifyChain(chain []*x509.Certificate, now time.Time) error {
	roots, err := v.roots(chain[0])
	if err != nil {
		return err
	}
	if roots == nil {
		return v.withoutRoots()
	}
	if v.trust.AllowExpired && now.After(chain[0].NotAfter) {
		now = chain[0].NotAfter // the last moment it was good; its authorities must have been good then
	}
	verified, err := chain[0].Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: pool(chain[1:]), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{v.usage},
	})
	if err != nil {
		return &VerifyError{Kind: BadChain, Detail: "verify cert failed", Err: err}
	}
	return v.notRevoked(verified, now)
}

// withoutRoots accepts a peer that only its hash is checked of, or nothing at all. Names mean nothing if anybody may
// write them.
func (v *verifier) withoutRoots() error {
	if len(v.trust.SANs)+len(v.params.SANs) > 0 && v.hashless() {
		return refuse(BadChain, "no trusted authority is configured, names can't be verified")
	}
	return nil
}

// roots returns what the peer's chain must end in: of its trust domain, if those have roots of their own. nil: nothing
// is configured.
func (v *verifier) roots(leaf *x509.Certificate) (*x509.CertPool, error) {
	if v.trust.Domains == nil {
		return v.trust.Pool(""), nil
	}
	if len(leaf.URIs) != 1 || !isSPIFFE(leaf.URIs[0]) || leaf.URIs[0].Host == "" {
		return nil, refuse(BadIdentity, "the peer has no SPIFFE identity")
	}
	domain := leaf.URIs[0].Host
	roots := v.trust.Pool(domain)
	if roots == nil {
		return nil, refuse(UnknownDomain, "no trust bundle for the trust domain %q", domain)
	}
	return roots, nil
}

func sortedDomains(t *config.Trust) []string { return slices.Sorted(maps.Keys(t.Domains)) }

func (v *verifier) hashless() bool {
	return len(v.trust.Hashes)+len(v.params.Hashes)+len(v.trust.SPKIs)+len(v.params.SPKIs) == 0
}

// verifyHashes holds that the certificate's or the key's hash is one of those listed, if any are.
func (v *verifier) verifyHashes(leaf *x509.Certificate) error {
	if v.hashless() {
		return nil
	}
	certificate, key := sha256.Sum256(leaf.Raw), sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
	if listed(certificate[:], v.trust.Hashes, v.params.Hashes) || listed(key[:], v.trust.SPKIs, v.params.SPKIs) {
		return nil
	}
	return refuse(BadHash, "the peer's certificate hash isn't one of those configured")
}

func listed(hash []byte, lists ...[][]byte) bool {
	for _, list := range lists {
		for _, each := range list {
			if bytes.Equal(hash, each) {
				return true
			}
		}
	}
	return false
}
