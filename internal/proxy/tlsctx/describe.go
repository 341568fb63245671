package tlsctx

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// DescribeServer says what a handshake with a client established.
func DescribeServer(state tls.ConnectionState, c *config.ServerTLS) *stream.TLS {
	d := describe(state, &c.TLSParams)
	d.Mutual = proven(state, &c.TLSParams, x509.ExtKeyUsageClientAuth)
	return d
}

// DescribeClient says what a handshake with an upstream host established. Mutual tells whether we had a certificate to
// show and know who the server is.
func DescribeClient(state tls.ConnectionState, c *config.ClientTLS) *stream.TLS {
	d := describe(state, &c.TLSParams)
	d.Mutual = len(c.Certificates) > 0 && proven(state, &c.TLSParams, x509.ExtKeyUsageServerAuth)
	return d
}

// proven reports whether the peer's certificate was verified. Handshakes that failed verification aren't described,
// unless everybody is accepted.
func proven(state tls.ConnectionState, p *config.TLSParams, usage x509.ExtKeyUsage) bool {
	trust := trustOf(p)
	if trust == nil || len(state.PeerCertificates) == 0 {
		return false
	}
	if !trust.TrustAny {
		return true
	}
	v := verifier{params: p, trust: trust, usage: usage}
	return v.verify(state.PeerCertificates, time.Now()) == nil
}

func describe(state tls.ConnectionState, p *config.TLSParams) *stream.TLS {
	d := &stream.TLS{
		Version: state.Version, Cipher: state.CipherSuite, ALPN: state.NegotiatedProtocol,
		ServerName: strings.ToLower(state.ServerName),
	}
	if len(state.PeerCertificates) > 0 {
		d.PeerCert, d.PeerChain = state.PeerCertificates[0], state.PeerCertificates
		d.PeerURISANs, d.PeerDNSSANs = uris(d.PeerCert.URIs), d.PeerCert.DNSNames
		d.PeerSubject = d.PeerCert.Subject.String()
	}
	if len(p.Certificates) > 0 {
		if own := p.Certificates[0].Load(); own != nil && own.Leaf != nil {
			d.LocalURISANs = uris(own.Leaf.URIs)
		}
	}
	return d
}

func uris(list []*url.URL) []string {
	var texts []string
	for _, u := range list {
		texts = append(texts, u.String())
	}
	return texts
}

const maxReason = 256

// Reason says in one word without blanks why a handshake failed, as Envoy's transport failure reasons look: people
// search for CERTIFICATE_VERIFY_FAILED. A nil error gives "".
func Reason(err error) string {
	if err == nil {
		return ""
	}
	text := "TLS_error:" + reason(err)
	text = strings.Join(strings.Fields(text), "_")
	if len(text) > maxReason {
		text = strings.ToValidUTF8(text[:maxReason], "")
	}
	return text
}

func reason(err error) string {
	var verify *VerifyError
	var record tls.RecordHeaderError
	var op *net.OpError
	switch {
	case errors.As(err, &verify):
		return "CERTIFICATE_VERIFY_FAILED:" + verify.Error()
	case errors.Is(err, ErrNoCertificate), errors.Is(err, ErrNoTrust):
		return "Secret is not supplied by SDS"
	case errors.As(err, &record):
		return "WRONG_VERSION_NUMBER"
	case errors.As(err, &op) && op.Op == "remote error":
		return "ALERT:" + strings.TrimPrefix(op.Err.Error(), "tls: ")
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return "handshake timeout"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "closed by the peer during the handshake"
	default:
		return strings.TrimPrefix(err.Error(), "tls: ")
	}
}
