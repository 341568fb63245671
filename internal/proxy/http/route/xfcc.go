package route

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"strings"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

const clientCert = "x-forwarded-client-cert"

// ClientCert forwards, sets or removes x-forwarded-client-cert as the manager says. element is what the connection's
// own client gets said of it, ClientCertElement; it is the same for all requests of a connection.
func ClientCert(m *config.HTTPManager, x *stream.Exchange, element string) {
	fields := &x.Request.Fields
	mutual := x.Conn.TLS != nil && x.Conn.TLS.PeerCert != nil
	switch {
	case m.ClientCert == config.XFCCAlwaysForwardOnly:
	case m.ClientCert == config.XFCCSanitize || !mutual:
		fields.Remove(clientCert)
	case m.ClientCert == config.XFCCAppendForward && element != "":
		appendTo(fields, clientCert, element)
	case m.ClientCert == config.XFCCSanitizeSet && element != "":
		fields.Set(clientCert, element)
	case m.ClientCert == config.XFCCSanitizeSet:
		fields.Remove(clientCert)
	}
}

// ClientCertElement is the element of x-forwarded-client-cert about the client of a connection:
// By=;Hash=;Cert="";Chain="";Subject="";URI=;DNS=. It is empty if the manager adds none.
func ClientCertElement(m *config.HTTPManager, tls *stream.TLS) string {
	adds := m.ClientCert == config.XFCCAppendForward || m.ClientCert == config.XFCCSanitizeSet
	if !adds || tls == nil || tls.PeerCert == nil {
		return ""
	}
	var e element
	if len(tls.LocalURISANs) > 0 {
		e.add("By=", tls.LocalURISANs[0], "")
	}
	sum := sha256.Sum256(tls.PeerCert.Raw)
	e.add("Hash=", hex.EncodeToString(sum[:]), "")
	e.details(&m.ClientCertDetails, tls)
	return e.String()
}

type element struct{ strings.Builder }

func (e *element) add(key, value, quote string) {
	if e.Len() > 0 {
		e.WriteByte(';')
	}
	e.WriteString(key)
	e.WriteString(quote)
	e.WriteString(value)
	e.WriteString(quote)
}

func (e *element) details(d *config.ClientCertDetails, tls *stream.TLS) {
	if d.Cert {
		e.add("Cert=", encodedPEM(tls.PeerCert), `"`)
	}
	if d.Chain {
		e.add("Chain=", encodedPEM(tls.PeerChain...), `"`)
	}
	if d.Subject { // the key is there even if the subject is empty
		e.add("Subject=", quoted.Replace(tls.PeerSubject), `"`)
	}
	if d.URI && len(tls.PeerURISANs) == 0 {
		e.add("URI=", "", "")
	}
	for i := 0; d.URI && i < len(tls.PeerURISANs); i++ {
		e.add("URI=", tls.PeerURISANs[i], "")
	}
	for i := 0; d.DNS && i < len(tls.PeerDNSSANs); i++ {
		e.add("DNS=", tls.PeerDNSSANs[i], "")
	}
}

// quoted keeps a subject from ending its quotes early: it is the client's text.
var quoted = strings.NewReplacer(`\"`, `\"`, `"`, `\"`)

var pemEncoding = strings.NewReplacer("\n", "%0A", " ", "%20", "+", "%2B", "/", "%2F", "=", "%3D")

func encodedPEM(certs ...*x509.Certificate) string {
	var b strings.Builder
	for _, c := range certs {
		b.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
	}
	return pemEncoding.Replace(b.String())
}
