package tlsctx

import (
	"crypto/x509"
	"strings"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// verifyNames holds that a matcher takes one of the certificate's alternative names, if there are matchers, and that
// the certificate is for the host name asked for, if one is.
func (v *verifier) verifyNames(leaf *x509.Certificate) error {
	if v.name != "" {
		if err := leaf.VerifyHostname(v.name); err != nil {
			return &VerifyError{Kind: BadSAN, Detail: "verify SAN failed", Err: err}
		}
	}
	if len(v.trust.SANs)+len(v.params.SANs) == 0 {
		return nil
	}
	if anyTakes(v.trust.SANs, leaf) || anyTakes(v.params.SANs, leaf) {
		return nil
	}
	return refuse(BadSAN, "verify SAN list: no matcher takes the names of the peer, %s", namesOf(leaf))
}

func anyTakes(matchers []config.SANMatch, leaf *x509.Certificate) bool {
	for i := range matchers {
		if takes(&matchers[i], leaf) {
			return true
		}
	}
	return false
}

func takes(m *config.SANMatch, leaf *x509.Certificate) bool {
	any := m.Kind == config.SANAny
	return (any || m.Kind == config.SANURI) && takesURI(&m.Match, leaf) ||
		(any || m.Kind == config.SANDNS) && takesDNS(&m.Match, leaf) ||
		(any || m.Kind == config.SANIP) && takesIP(&m.Match, leaf) ||
		(any || m.Kind == config.SANEmail) && takesEmail(&m.Match, leaf)
}

func takesURI(m *config.StringMatch, leaf *x509.Certificate) bool {
	for _, u := range leaf.URIs {
		if m.Match(u.String()) {
			return true
		}
	}
	return false
}

// takesDNS compares names without regard to case; a certificate's `*.` stands for one label when the matcher is exact.
func takesDNS(m *config.StringMatch, leaf *x509.Certificate) bool {
	for _, name := range leaf.DNSNames {
		if m.Match(name) || m.Kind == config.StringExact && sameHost(name, m.Value) {
			return true
		}
	}
	return false
}

func sameHost(pattern, host string) bool {
	pattern, host = strings.ToLower(pattern), strings.ToLower(host)
	if suffix, ok := strings.CutPrefix(pattern, "*."); ok {
		label, rest, found := strings.Cut(host, ".")
		return found && label != "" && rest == suffix
	}
	return pattern == host
}

func takesIP(m *config.StringMatch, leaf *x509.Certificate) bool {
	for _, ip := range leaf.IPAddresses {
		if m.Match(ip.String()) {
			return true
		}
	}
	return false
}

func takesEmail(m *config.StringMatch, leaf *x509.Certificate) bool {
	for _, address := range leaf.EmailAddresses {
		if m.Match(address) {
			return true
		}
	}
	return false
}

const namesShown = 4

// namesOf lists the first few names of a certificate, for people.
func namesOf(leaf *x509.Certificate) string {
	var names []string
	for _, u := range leaf.URIs {
		names = append(names, u.String())
	}
	names = append(names, leaf.DNSNames...)
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) > namesShown {
		names = append(names[:namesShown], "…")
	}
	if len(names) == 0 {
		return "which has none"
	}
	return strings.Join(names, " ")
}
