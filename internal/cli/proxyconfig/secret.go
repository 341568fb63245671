package proxyconfig

import (
	"crypto/x509"
	"encoding/pem"
	"io"
	"time"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/pillion-mesh/pillion/internal/cli/table"
)

// secretHeadings are istioctl's.
var secretHeadings = []string{"RESOURCE NAME", "TYPE", "STATUS", "VALID CERT", "SERIAL NUMBER", "NOT AFTER", "NOT BEFORE"}

// WriteSecrets prints certificates and trust bundles, a row a certificate; keys are never in a dump. Whether a
// certificate is valid is held against now.
func (d *Dump) WriteSecrets(w io.Writer, now time.Time, format string) error {
	if format != "table" {
		if d.Secrets == nil {
			d.Secrets = &adminv3.SecretsConfigDump{}
		}
		return writeMessage(w, d.Secrets, format)
	}
	var rows [][]string
	for _, s := range d.Secrets.GetStaticSecrets() {
		rows = append(rows, secretRows(s.GetName(), "ACTIVE", messages[tlsv3.Secret](one(s.GetSecret())), now)...)
	}
	for _, s := range d.Secrets.GetDynamicActiveSecrets() {
		rows = append(rows, secretRows(s.GetName(), "ACTIVE", messages[tlsv3.Secret](one(s.GetSecret())), now)...)
	}
	for _, s := range d.Secrets.GetDynamicWarmingSecrets() {
		rows = append(rows, secretRows(s.GetName(), "WARMING", messages[tlsv3.Secret](one(s.GetSecret())), now)...)
	}
	return table.Write(w, secretHeadings, rows)
}

func one[T any](v T) []T { return []T{v} }

func secretRows(name, status string, secrets []*tlsv3.Secret, now time.Time) (rows [][]string) {
	for _, s := range secrets {
		kind, data := "Cert Chain", s.GetTlsCertificate().GetCertificateChain().GetInlineBytes()
		if context := s.GetValidationContext(); context != nil {
			kind, data = "CA", context.GetTrustedCa().GetInlineBytes()
		}
		certificates := parsePEM(data)
		for _, c := range certificates {
			valid := "true"
			if now.Before(c.NotBefore) || now.After(c.NotAfter) {
				valid = "false"
			}
			rows = append(rows, []string{name, kind, status, valid, c.SerialNumber.Text(16), c.NotAfter.UTC().Format(time.RFC3339), c.NotBefore.UTC().Format(time.RFC3339)})
		}
		if len(certificates) == 0 {
			rows = append(rows, []string{name, kind, status, "false", "-", "-", "-"})
		}
	}
	return rows
}

func parsePEM(data []byte) (all []*x509.Certificate) {
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if c, err := x509.ParseCertificate(block.Bytes); err == nil {
			all = append(all, c)
		}
	}
	return all
}
