package source

import (
	"crypto/x509"
	"slices"
	"strings"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// Certificates are those of one secret.
type Certificates struct {
	Name         string
	Trust, Chain []*x509.Certificate
}

// Certs returns the certificates of all secrets there are, by name, for /certs.
func (s *Source) Certs() (all []Certificates) {
	s.mu.Lock()
	chains, trusts := loaded(s.cells.certificates), loaded(s.cells.trusts)
	s.mu.Unlock()
	for _, name := range union(chains, trusts) {
		one := Certificates{Name: name}
		if t := trusts[name]; t != nil {
			one.Trust = t.Roots
		}
		if c := chains[name]; c != nil {
			one.Chain = parsed(c)
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

func parsed(c *config.Certificate) (chain []*x509.Certificate) {
	for _, der := range c.Chain {
		if one, err := x509.ParseCertificate(der); err == nil {
			chain = append(chain, one)
		}
	}
	return chain
}
