package config

import (
	"crypto/x509"
	"sync"
)

// Certificate is a certificate chain with its key, ready to be served: a Secret's tls_certificate.
type Certificate struct {
	Version string
	Chain   [][]byte // DER, leaf first
	Leaf    *x509.Certificate
	Key     any // crypto.Signer
	OCSP    []byte
}

// Trust is what peers are verified against: a Secret's validation_context.
type Trust struct {
	Version string
	Roots   []*x509.Certificate
	CRL     []*x509.RevocationList
	SANs    []SANMatch
	Hashes  [][]byte // verify_certificate_hash: SHA-256 of the certificate
	SPKIs   [][]byte // verify_certificate_spki: SHA-256 of the public key
	// Domains are SPIFFE trust domains with roots of their own; nil: Roots for all.
	Domains map[string][]*x509.Certificate
	// SystemRoots adds the roots of the host, system_root_certs.
	SystemRoots  bool
	AllowExpired bool
	TrustAny     bool // trust_chain_verification ACCEPT_UNTRUSTED

	pools sync.Map // *x509.CertPool by trust domain, made on first use: see Pool
}

// Pool returns the roots of a trust domain that has its own, or for the domain "" Roots, with the host's if SystemRoots
// says so. It is nil if there are none, and is made once.
func (t *Trust) Pool(domain string) *x509.CertPool {
	if made, ok := t.pools.Load(domain); ok {
		return made.(*x509.CertPool) //nolint:errcheck // nothing else is stored
	}
	pool := t.newPool(domain)
	if pool != nil { // a peer's unknown domain must not fill the map
		t.pools.Store(domain, pool)
	}
	return pool
}

func (t *Trust) newPool(domain string) *x509.CertPool {
	list, pool := t.Domains[domain], (*x509.CertPool)(nil)
	if domain == "" {
		list = t.Roots
		if t.SystemRoots {
			pool, _ = x509.SystemCertPool() // a host without any has none to add
		}
	}
	if pool == nil && len(list) > 0 {
		pool = x509.NewCertPool()
	}
	for _, root := range list {
		pool.AddCert(root)
	}
	return pool
}

// SANMatch takes subject alternative names of one kind.
type SANMatch struct {
	Kind  SANKind
	Match StringMatch
}

// SANKind is the kind of a subject alternative name.
type SANKind uint8

// The kinds of names; SANAny is the deprecated matcher without a kind.
const (
	SANAny SANKind = iota
	SANEmail
	SANDNS
	SANURI
	SANIP
)

// TLSParams are what both sides of a TLS connection have.
type TLSParams struct {
	MinVersion, MaxVersion uint16 // as crypto/tls; 0: its default
	Ciphers                []uint16
	Curves                 []uint16
	ALPN                   []string
	Certificates           []*Cell[Certificate]
	Trust                  *Cell[Trust] // nil: peers aren't verified
	// SANs of combined_validation_context's default part, besides those of Trust.
	SANs    []SANMatch
	Hashes  [][]byte
	SPKIs   [][]byte
	Secrets []string // SDS names this needs, for warming and messages
}

// ServerTLS is a DownstreamTlsContext.
type ServerTLS struct {
	TLSParams
	RequireClient bool
	RequireSNI    bool
	NoTickets     bool // disable_stateless_session_resumption
}

// ClientTLS is an UpstreamTlsContext.
type ClientTLS struct {
	TLSParams
	SNI              string
	AllowRenegotiate bool
	MaxSessions      *uint32 // max_session_keys
}
