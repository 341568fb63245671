package admin

import (
	"cmp"
	"net/http"
	"time"
)

// Certificates are a trust bundle and a certificate chain that are used together. Either may be empty.
type Certificates struct{ Trust, Chain []Certificate }

// Certificate is one of them.
type Certificate struct {
	Path               string // a file, or the secret's name; empty: inline
	Serial             string // hexadecimal, lower case
	Names              []SubjectName
	ValidFrom, Expires time.Time
}

// SubjectName is a subject alternative name: one field is set.
type SubjectName struct{ URI, DNS, IP string }

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
	all, now := certsJSON{Certificates: []certPairJSON{}}, a.Now()
	for _, c := range a.Certs() {
		all.Certificates = append(all.Certificates, certPairJSON{certsOf(c.Trust, now), certsOf(c.Chain, now)})
	}
	indented(w, all)
}

func certsOf(list []Certificate, now time.Time) (out []certJSON) {
	for _, c := range list {
		names := make([]sanJSON, 0, len(c.Names))
		for _, n := range c.Names {
			names = append(names, sanJSON(n))
		}
		out = append(out, certJSON{
			Path: cmp.Or(c.Path, "<inline>"), Serial: c.Serial, Names: names, Days: number(daysUntil(c.Expires, now)),
			From: c.ValidFrom.UTC().Format(time.RFC3339), Expires: c.Expires.UTC().Format(time.RFC3339),
		})
	}
	return out
}

const day = 24 * time.Hour

// daysUntil is never below zero: expired is expired.
func daysUntil(end, now time.Time) int64 { return max(int64(end.Sub(now)/day), 0) }
