package admin

import (
	"crypto/x509"
	"net/http"
	"time"
)

// Certificates are a trust bundle and a certificate chain that are used together, with where they came from. Either may
// be empty.
type Certificates struct {
	CA, Chain         []*x509.Certificate
	CAPath, ChainPath string // a file, or <inline> for what came by SDS
	Now               time.Time
}

// The messages of envoy.admin.v3.Certificates, as protojson writes them.
type (
	certsJSON struct {
		Certificates []certPairJSON `json:"certificates"`
	}
	certPairJSON struct {
		CA    []certJSON `json:"ca_cert,omitempty"`
		Chain []certJSON `json:"cert_chain,omitempty"`
	}
	certJSON struct {
		Path    string    `json:"path"`
		Serial  string    `json:"serial_number"`
		Names   []sanJSON `json:"subject_alt_names,omitempty"`
		Days    number    `json:"days_until_expiration"`
		From    string    `json:"valid_from"`
		Expires string    `json:"expiration_time"`
	}
	sanJSON struct {
		URI string `json:"uri,omitempty"`
		DNS string `json:"dns,omitempty"`
		IP  string `json:"ip_address,omitempty"`
	}
)

func (a *api) certs(w http.ResponseWriter, _ *http.Request) {
	all := certsJSON{Certificates: []certPairJSON{}}
	for _, c := range a.Certs() {
		all.Certificates = append(all.Certificates, certPairJSON{
			certsOf(c.CA, c.CAPath, c.Now), certsOf(c.Chain, c.ChainPath, c.Now),
		})
	}
	indented(w, all)
}

func certsOf(list []*x509.Certificate, path string, now time.Time) (out []certJSON) {
	for _, c := range list {
		out = append(out, certJSON{
			Path: path, Serial: c.SerialNumber.Text(16), Names: namesOf(c),
			Days: number(daysUntil(c.NotAfter, now)),
			From: c.NotBefore.UTC().Format(time.RFC3339), Expires: c.NotAfter.UTC().Format(time.RFC3339),
		})
	}
	return out
}

const day = 24 * time.Hour

// daysUntil is never below zero: expired is expired.
func daysUntil(end, now time.Time) int64 { return max(int64(end.Sub(now)/day), 0) }

func namesOf(c *x509.Certificate) (names []sanJSON) {
	for _, name := range c.DNSNames {
		names = append(names, sanJSON{DNS: name})
	}
	for _, uri := range c.URIs {
		names = append(names, sanJSON{URI: uri.String()})
	}
	for _, ip := range c.IPAddresses {
		names = append(names, sanJSON{IP: ip.String()})
	}
	return names
}
