package source

import (
	"crypto/x509"
	"slices"
	"strings"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// Certificates are what /certs tells of one TLS context or secret.
type Certificates struct {
	Trust []Certificate // ca_cert
	Chain []Certificate // cert_chain
}

// Certificate is one certificate as /certs tells it.
type Certificate struct {
	Path               string // name of the secret; empty: inline
	Serial             string // hexadecimal, lower case
	Names              []SubjectName
	ValidFrom, Expires time.Time
}

// Days returns the whole days until the certificate expires, 0 if it has.
func (c Certificate) Days(now time.Time) uint64 {
	return uint64(max(0, c.Expires.Sub(now)/(24*time.Hour)))
}

// SubjectName is a subject alternative name: one field is set.
type SubjectName struct{ URI, DNS, IP string }

// Certs returns the certificates of all secrets there are, by name, for /certs.
func (s *Source) Certs() []Certificates {
	s.mu.Lock()
	chains, trusts := loaded(s.cells.certificates), loaded(s.cells.trusts)
	s.mu.Unlock()
	var all []Certificates
	for _, name := range union(chains, trusts) {
		var one Certificates
		if t := trusts[name]; t != nil {
			for _, root := range t.Roots {
				one.Trust = append(one.Trust, describe(name, root))
			}
		}
		if c := chains[name]; c != nil {
			one.Chain = describeChain(name, c)
		}
		all = append(all, one)
	}
	return all
}

func loaded[T any](m map[string]*config.Cell[T]) map[string]*T {
	out := map[string]*T{}
	for name, cell := range m {
		if v := cell.Load(); v != nil {
			out[name] = v
		}
	}
	return out
}

func union[A, B any](a map[string]*A, b map[string]*B) []string {
	var names []string
	for name := range a {
		names = append(names, name)
	}
	for name := range b {
		names = append(names, name)
	}
	slices.SortFunc(names, strings.Compare)
	return slices.Compact(names)
}

func describeChain(name string, c *config.Certificate) (all []Certificate) {
	for _, der := range c.Chain {
		if parsed, err := x509.ParseCertificate(der); err == nil {
			all = append(all, describe(name, parsed))
		}
	}
	return all
}

func describe(name string, c *x509.Certificate) Certificate {
	out := Certificate{Path: name, Serial: c.SerialNumber.Text(16), ValidFrom: c.NotBefore, Expires: c.NotAfter}
	for _, u := range c.URIs {
		out.Names = append(out.Names, SubjectName{URI: u.String()})
	}
	for _, d := range c.DNSNames {
		out.Names = append(out.Names, SubjectName{DNS: d})
	}
	for _, ip := range c.IPAddresses {
		out.Names = append(out.Names, SubjectName{IP: ip.String()})
	}
	return out
}
