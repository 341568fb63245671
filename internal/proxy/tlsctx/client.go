package tlsctx

import (
	"crypto/tls"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// ClientOptions are what a connection to a host adds to its cluster's TLS context.
type ClientOptions struct {
	ServerName string    // SNI instead of the context's (auto_sni); empty: the context's
	ALPN       []string  // instead of the context's; nil: the context's
	VerifyName string    // auto_san_validation: a host name the certificate must be for; empty: none
	Sessions   *Sessions // of the cluster; nil: every handshake is a full one
}

// Client returns the configuration of an upstream TLS context. It is used for any number of connections.
func Client(c *config.ClientTLS, o ClientOptions) *tls.Config {
	t := params(&c.TLSParams)
	t.ServerName = c.SNI
	if o.ServerName != "" {
		t.ServerName = o.ServerName
	}
	if o.ALPN != nil {
		t.NextProtos = o.ALPN
	}
	if c.AllowRenegotiate {
		t.Renegotiation = tls.RenegotiateFreelyAsClient
	}
	// VerifyConnection does what this turns off, by the mesh's rules.
	t.InsecureSkipVerify = true
	t.VerifyConnection = clientVerifier(c, o.VerifyName)
	t.GetClientCertificate = func(request *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return clientCertificate(c, request)
	}
	if o.Sessions != nil {
		t.ClientSessionCache = &sessionView{sessions: o.Sessions, params: &c.TLSParams}
	}
	return t
}

// clientCertificate returns the first certificate the server can use, the first of all if it can use none (its list of
// authorities isn't always whole), or an empty one if there is none: the server decides about that.
func clientCertificate(c *config.ClientTLS, request *tls.CertificateRequestInfo) (*tls.Certificate, error) {
	var first *tls.Certificate
	for _, cell := range c.Certificates {
		certificate := cell.Load()
		if certificate == nil {
			return nil, ErrNoCertificate
		}
		made := certificateOf(certificate)
		if request.SupportsCertificate(&made) == nil {
			return &made, nil
		}
		if first == nil {
			first = &made
		}
	}
	if first == nil {
		return &tls.Certificate{}, nil
	}
	return first, nil
}
