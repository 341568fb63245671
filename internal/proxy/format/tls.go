package format

import (
	"crypto/sha1" //nolint:gosec // an operator asks for it by name
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"net/url"
	"strings"

	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

func downTLS(x *stream.Exchange) *stream.TLS { return x.Conn.TLS }
func upTLS(x *stream.Exchange) *stream.TLS   { return x.Upstream.TLS }

// ofTLS gives what of says of a side's TLS, nothing if that side is plaintext.
func ofTLS(side func(*stream.Exchange) *stream.TLS, of func(*stream.TLS) string) func(*stream.Exchange) string {
	return func(x *stream.Exchange) string {
		if t := side(x); t != nil {
			return of(t)
		}
		return ""
	}
}

// ofCert gives what of says of a side's peer certificate, nothing if it showed none.
func ofCert(side func(*stream.Exchange) *stream.TLS, of func(*x509.Certificate) string) func(*stream.Exchange) string {
	return ofTLS(side, func(t *stream.TLS) string {
		if t.PeerCert == nil {
			return ""
		}
		return of(t.PeerCert)
	})
}

func localURISANs(t *stream.TLS) string { return strings.Join(t.LocalURISANs, ",") }
func peerURISANs(t *stream.TLS) string  { return strings.Join(t.PeerURISANs, ",") }
func peerDNSSANs(t *stream.TLS) string  { return strings.Join(t.PeerDNSSANs, ",") }
func peerSubject(t *stream.TLS) string  { return t.PeerSubject }
func sessionID(t *stream.TLS) string    { return t.SessionID }
func cipher(t *stream.TLS) string       { return tls.CipherSuiteName(t.Cipher) }

// version is written without the blank of Go's names: TLSv1.3.
func version(t *stream.TLS) string {
	return strings.Replace(tls.VersionName(t.Version), "TLS ", "TLSv", 1)
}

func issuer(c *x509.Certificate) string { return c.Issuer.String() }
func serial(c *x509.Certificate) string { return strings.ToLower(c.SerialNumber.Text(16)) }

// pemOf is the certificate as one word: PEM, percent-encoded.
func pemOf(c *x509.Certificate) string {
	return url.QueryEscape(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})))
}

func ipSANs(c *x509.Certificate) string {
	names := make([]string, len(c.IPAddresses))
	for i, ip := range c.IPAddresses {
		names[i] = ip.String()
	}
	return strings.Join(names, ",")
}

func emailSANs(c *x509.Certificate) string { return strings.Join(c.EmailAddresses, ",") }

func fingerprint256(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}

func fingerprint1(c *x509.Certificate) string {
	sum := sha1.Sum(c.Raw) //nolint:gosec // an operator asks for it by name
	return hex.EncodeToString(sum[:])
}
