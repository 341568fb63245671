package xds

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"net/url"
	"strings"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

const spiffeValidatorType = tlsTypes + "tls.v3.SPIFFECertValidatorConfig"

// trust decodes a validation context; nil if it asks for nothing: Envoy then takes every certificate.
func (d *decoder) trust(v *tlsv3.CertificateValidationContext) *config.Trust {
	out := &config.Trust{
		SANs: d.sans(v), Hashes: d.hashes(v), SPKIs: d.spkis(v),
		AllowExpired: v.GetAllowExpiredCertificate(),
		SystemRoots:  v.GetSystemRootCerts() != nil,
	}
	if v.GetTrustedCa() != nil {
		d.in("trusted_ca", func() { out.Roots = d.roots(d.source(v.GetTrustedCa())) })
	}
	if v.GetCrl() != nil {
		d.in("crl", func() { out.CRL = d.crl(d.source(v.GetCrl())) })
	}
	d.validator(v, out)
	d.verification(v, out)
	d.trustRefused(v)
	if len(out.Roots) == 0 && out.Domains == nil && !out.SystemRoots {
		return d.rootless(out)
	}
	return out
}

// rootless is a context without roots: certificates are recognised by their hashes, or not looked at.
func (d *decoder) rootless(out *config.Trust) *config.Trust {
	if len(out.SANs) > 0 {
		d.failIn("match_typed_subject_alt_names", "names are worth nothing without a trusted_ca")
	}
	if len(out.Hashes)+len(out.SPKIs) == 0 {
		return nil
	}
	out.TrustAny = true
	return out
}

func (d *decoder) trustRefused(v *tlsv3.CertificateValidationContext) {
	if v.GetCaCertificateProviderInstance() != nil {
		d.failIn("ca_certificate_provider_instance", "not supported")
	}
	if truth(v.GetRequireSignedCertificateTimestamp(), false) {
		d.failIn("require_signed_certificate_timestamp", "not supported")
	}
	d.noEffect(v.GetMaxVerifyDepth() != nil, "max_verify_depth")
	d.noEffect(v.GetOnlyVerifyLeafCertCrl(), "only_verify_leaf_cert_crl")
}

func (d *decoder) verification(v *tlsv3.CertificateValidationContext, out *config.Trust) {
	switch v.GetTrustChainVerification() {
	case tlsv3.CertificateValidationContext_VERIFY_TRUST_CHAIN:
	case tlsv3.CertificateValidationContext_ACCEPT_UNTRUSTED:
		out.TrustAny = true
	default:
		d.failIn("trust_chain_verification", "unknown value %d", v.GetTrustChainVerification())
	}
}

// roots parses CA certificates. One that Go can't read is left out and noted, as long as another is left: bundles of
// many authorities have some that are odd.
func (d *decoder) roots(text []byte) (out []*x509.Certificate) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" && block.Type != "TRUSTED CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			d.note(Degraded, err.Error())
			continue
		}
		out = append(out, c)
	}
	if len(out) == 0 {
		d.fail("no certificate in it")
	}
	return out
}

func (d *decoder) crl(text []byte) (out []*x509.RevocationList) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "X509 CRL" {
			continue
		}
		list, err := x509.ParseRevocationList(block.Bytes)
		if err != nil {
			d.fail("%s", err)
			continue
		}
		out = append(out, list)
	}
	if len(out) == 0 {
		d.fail("no revocation list in it")
	}
	return out
}

// validator decodes SPIFFE's own: roots by trust domain.
func (d *decoder) validator(v *tlsv3.CertificateValidationContext, out *config.Trust) {
	c := v.GetCustomValidatorConfig()
	if c == nil {
		return
	}
	d.step(segment{"custom_validator_config", -1, c.GetName()}, func() {
		t := d.open(c.GetTypedConfig())
		var m tlsv3.SPIFFECertValidatorConfig
		if t.message != spiffeValidatorType {
			d.fail("not supported")
			return
		}
		if d.into(t, &m) {
			d.domains(&m, out)
		}
	})
}

func (d *decoder) domains(m *tlsv3.SPIFFECertValidatorConfig, out *config.Trust) {
	if m.TrustBundles != nil {
		d.failIn("trust_bundles", "not supported")
	}
	out.Domains = make(map[string][]*x509.Certificate, len(m.TrustDomains))
	for i, domain := range m.TrustDomains {
		d.at("trust_domains", i, func() {
			if _, there := out.Domains[domain.GetName()]; there || domain.GetName() == "" {
				d.failIn("name", "%q is empty or there twice", excerpt(domain.GetName()))
			}
			d.in("trust_bundle", func() { out.Domains[domain.GetName()] = d.roots(d.source(domain.GetTrustBundle())) })
		})
	}
	if len(m.TrustDomains) == 0 {
		d.failIn("trust_domains", "none")
	}
}

func (d *decoder) sans(v *tlsv3.CertificateValidationContext) (out []config.SANMatch) {
	for i, m := range v.GetMatchTypedSubjectAltNames() {
		d.at("match_typed_subject_alt_names", i, func() {
			match := config.SANMatch{Kind: d.sanKind(m.GetSanType())}
			d.in("matcher", func() { match.Match = *d.stringMatch(m.GetMatcher()) })
			d.checkSAN(&match)
			out = append(out, match)
		})
	}
	for i, m := range v.GetMatchSubjectAltNames() {
		d.at("match_subject_alt_names", i, func() {
			match := config.SANMatch{Match: *d.stringMatch(m)}
			d.checkSAN(&match)
			out = append(out, match)
		})
	}
	return out
}

func (d *decoder) sanKind(t tlsv3.SubjectAltNameMatcher_SanType) config.SANKind {
	switch t {
	case tlsv3.SubjectAltNameMatcher_EMAIL:
		return config.SANEmail
	case tlsv3.SubjectAltNameMatcher_DNS:
		return config.SANDNS
	case tlsv3.SubjectAltNameMatcher_URI:
		return config.SANURI
	case tlsv3.SubjectAltNameMatcher_IP_ADDRESS:
		return config.SANIP
	}
	d.failIn("san_type", "%s is not supported", t)
	return config.SANAny
}

// checkSAN refuses what no certificate can have: an exact match that never matches locks everybody out.
func (d *decoder) checkSAN(m *config.SANMatch) {
	if m.Match.Kind != config.StringExact || m.Kind != config.SANURI && m.Kind != config.SANAny {
		return
	}
	if strings.HasPrefix(m.Match.Value, "spiffe:") && !isSPIFFE(m.Match.Value) {
		d.fail("%q is not a SPIFFE id", excerpt(m.Match.Value))
	}
}

// isSPIFFE checks a SPIFFE id: a trust domain, a path, nothing else, at most 2048 bytes.
func isSPIFFE(id string) bool {
	u, err := url.Parse(id)
	return err == nil && len(id) <= 2048 && u.Scheme == "spiffe" && u.Host != "" && u.Port() == "" && u.User == nil &&
		len(u.Path) > 1 && u.RawQuery == "" && u.Fragment == "" && !strings.Contains(u.Path, "//") && !strings.HasSuffix(u.Path, "/")
}

func (d *decoder) hashes(v *tlsv3.CertificateValidationContext) (out [][]byte) {
	for i, s := range v.GetVerifyCertificateHash() {
		sum, err := hex.DecodeString(strings.ReplaceAll(s, ":", ""))
		if err != nil || len(sum) != sha256.Size {
			d.at("verify_certificate_hash", i, func() { d.fail("not a SHA-256 in hexadecimal") })
		}
		out = append(out, sum)
	}
	return out
}

func (d *decoder) spkis(v *tlsv3.CertificateValidationContext) (out [][]byte) {
	for i, s := range v.GetVerifyCertificateSpki() {
		sum, err := base64.StdEncoding.DecodeString(s)
		if err != nil || len(sum) != sha256.Size {
			d.at("verify_certificate_spki", i, func() { d.fail("not a SHA-256 in base64") })
		}
		out = append(out, sum)
	}
	return out
}
