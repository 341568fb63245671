package pairs

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"
)

// maxAnchors is how many CAs of one pair count: the caBundle has to stay small.
const maxAnchors = 4

// anchor is a CA that verifies the chain, and until when it does.
type anchor struct {
	ca   *x509.Certificate
	ends time.Time
}

// anchors are the CAs of which an API server has to trust one, the one that lasts longest first.
func (m material) anchors(chain []*x509.Certificate, now time.Time) ([]anchor, error) {
	from, cas, err := m.authorities(chain)
	if err != nil {
		return nil, err
	}
	var all []anchor
	var fault error
	for _, ca := range cas {
		ends, err := verify(chain, ca, now)
		if err == nil {
			all = append(all, anchor{ca, ends})
		} else if fault == nil {
			fault = err
		}
	}
	if len(all) == 0 {
		return nil, m.blame(from, chain, cas, now, fault)
	}
	slices.SortStableFunc(all, func(a, b anchor) int { return b.ends.Compare(a.ends) })
	all = all[:min(len(all), maxAnchors)]
	if err := usable(all[0].ca.PublicKey); err != nil {
		return nil, refuse(KeyUnsupported, from, "%s has %v", subject(all[0].ca), err)
	}
	return all, nil
}

// authorities are the certificates that may be the chain's CA, each once, and which part they come from. Issuers that
// know no CA of theirs, ACME's for one, leave ca.crt out or empty; then only a chain that ends in a self-signed
// certificate says whom to trust.
func (m material) authorities(chain []*x509.Certificate) (from string, cas []*x509.Certificate, err error) {
	if blank(m.ca.text) {
		last := chain[len(chain)-1]
		if !selfSigned(last) {
			return "", nil, refuse(NoCA, m.origin, "has no CA: %s is missing or empty, and the last certificate of %s (%s) isn't self-signed; put the CA's certificate into one of them",
				m.caName(), m.cert.name, subject(last))
		}
		return m.cert.name, []*x509.Certificate{last}, nil
	}
	if cas, err = m.ca.certificates(maxAuthorities); err != nil {
		return "", nil, err
	}
	var each []*x509.Certificate
	for _, c := range cas {
		if !slices.ContainsFunc(each, c.Equal) {
			each = append(each, c)
		}
	}
	return m.ca.name, each, nil
}

func (m material) caName() string {
	if m.ca.name == "" {
		return "the CA's file"
	}
	return m.ca.name
}

// selfSigned can't use CheckSignatureFrom, which wants a CA: a lone self-signed server certificate often isn't one, and
// is trusted all the same where it is in the bundle.
func selfSigned(c *x509.Certificate) bool {
	return bytes.Equal(c.RawIssuer, c.RawSubject) && c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
}

// verify says until when an API server that trusts ca alone takes the chain.
func verify(chain []*x509.Certificate, ca *x509.Certificate, now time.Time) (time.Time, error) {
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(ca)
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	ways, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	var last time.Time
	for _, way := range ways {
		first := slices.MinFunc(way, func(a, b *x509.Certificate) int { return a.NotAfter.Compare(b.NotAfter) })
		if first.NotAfter.After(last) {
			last = first.NotAfter
		}
	}
	return last, err
}

// blame says why no CA verifies the chain. A CA out of its time is what happens most, and Verify says so only in words.
func (m material) blame(from string, chain, cas []*x509.Certificate, now time.Time, fault error) error {
	issues := func(c *x509.Certificate) bool {
		return slices.ContainsFunc(chain, func(by *x509.Certificate) bool { return bytes.Equal(by.RawIssuer, c.RawSubject) })
	}
	for _, c := range slices.Concat(chain[1:], cas) {
		if !issues(c) {
			continue
		}
		if err := inTime(m.part(c, cas, from)+", "+subject(c), c, now); err != nil {
			return err
		}
	}
	last := chain[len(chain)-1]
	var have []string
	for _, c := range cas {
		have = append(have, subject(c))
	}
	return refuse(ChainBroken, from, "doesn't verify %s (%s): the chain there ends with %s, issued by %s; here is %s. Put that CA here, or the certificates between into %s",
		m.cert.name, cut(fault.Error()), subject(last), cut("\""+last.Issuer.String()+"\""), list(have), m.cert.name)
}

func (m material) part(c *x509.Certificate, cas []*x509.Certificate, from string) string {
	if slices.ContainsFunc(cas, c.Equal) {
		return from
	}
	return m.cert.name
}

// subject names a certificate in a message.
func subject(c *x509.Certificate) string { return cut(fmt.Sprintf("%q", c.Subject.String())) }

// cut keeps what others wrote from filling a message.
func cut(text string) string {
	const most = 200
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}
