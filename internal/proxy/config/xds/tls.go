package xds

import (
	"crypto/tls"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// serverSocket decodes a chain's transport socket, nil for plaintext.
func (d *decoder) serverSocket(s *corev3.TransportSocket) *config.ServerTLS {
	t, plaintext := d.openSocket(s, serverTLSType)
	var m tlsv3.DownstreamTlsContext
	if plaintext || !d.into(t, &m) {
		return nil
	}
	out := &config.ServerTLS{
		TLSParams:     d.tlsParams(m.CommonTlsContext),
		RequireClient: truth(m.RequireClientCertificate, false), RequireSNI: truth(m.RequireSni, false),
		NoTickets: m.GetDisableStatelessSessionResumption(),
	}
	if len(out.Certificates) == 0 {
		d.failIn("common_tls_context", "no certificate to serve")
	}
	if m.GetSessionTicketKeys() != nil || m.GetSessionTicketKeysSdsSecretConfig() != nil {
		d.note(NoEffect, "session_ticket_keys")
	}
	d.noEffect(m.SessionTimeout != nil, "session_timeout")
	d.noEffect(m.OcspStaplePolicy != tlsv3.DownstreamTlsContext_LENIENT_STAPLING, "ocsp_staple_policy")
	return out
}

// clientSocket decodes a cluster's transport socket, nil for plaintext.
func (d *decoder) clientSocket(s *corev3.TransportSocket) *config.ClientTLS {
	t, plaintext := d.openSocket(s, clientTLSType)
	var m tlsv3.UpstreamTlsContext
	if plaintext || !d.into(t, &m) {
		return nil
	}
	out := &config.ClientTLS{
		TLSParams: d.tlsParams(m.CommonTlsContext),
		SNI:       d.intern(m.Sni), AllowRenegotiate: m.AllowRenegotiation, MaxSessions: numberPointer(m.MaxSessionKeys),
	}
	if m.AutoHostSni {
		d.failIn("auto_host_sni", "not built yet")
	}
	if m.AutoSniSanValidation {
		d.failIn("auto_sni_san_validation", "not built yet")
	}
	return out
}

// openSocket returns the socket's configuration; plaintext is also true if it is refused.
func (d *decoder) openSocket(s *corev3.TransportSocket, want string) (t typed, plaintext bool) {
	if s == nil {
		return t, true
	}
	t = d.open(s.GetTypedConfig())
	d.step(segment{"typed_config", -1, s.Name}, func() {
		switch t.message {
		case want:
		case rawSocketType:
			plaintext = true
		default:
			d.fail("not supported")
		}
	})
	return t, t.message != want
}

func (d *decoder) tlsParams(c *tlsv3.CommonTlsContext) (out config.TLSParams) {
	d.in("common_tls_context", func() {
		d.in("tls_params", func() { d.versions(c.GetTlsParams(), &out) })
		for _, p := range c.GetAlpnProtocols() {
			out.ALPN = append(out.ALPN, d.intern(p))
		}
		d.certificates(c, &out)
		d.validation(c, &out)
		if c.GetCustomHandshaker() != nil {
			d.failIn("custom_handshaker", "not supported")
		}
		if c.GetCustomTlsCertificateSelector() != nil {
			d.failIn("custom_tls_certificate_selector", "not supported")
		}
		if c.GetTlsCertificateProviderInstance() != nil {
			d.failIn("tls_certificate_provider_instance", "not supported")
		}
		d.noEffect(c.GetKeyLog() != nil, "key_log")
	})
	return out
}

// tlsVersions are the protocol versions by Envoy's number for them; 0 leaves the choice to crypto/tls.
var tlsVersions = []uint16{0, tls.VersionTLS10, tls.VersionTLS11, tls.VersionTLS12, tls.VersionTLS13}

func (d *decoder) version(field string, v tlsv3.TlsParameters_TlsProtocol) uint16 {
	if v < 0 || int(v) >= len(tlsVersions) {
		d.failIn(field, "unknown version %d", v)
		return 0
	}
	return tlsVersions[v]
}

func (d *decoder) versions(p *tlsv3.TlsParameters, out *config.TLSParams) {
	out.MinVersion = d.version("tls_minimum_protocol_version", p.GetTlsMinimumProtocolVersion())
	out.MaxVersion = d.version("tls_maximum_protocol_version", p.GetTlsMaximumProtocolVersion())
	if out.MaxVersion != 0 && out.MinVersion > out.MaxVersion {
		d.fail("the minimum version is above the maximum")
	}
	out.Ciphers = d.ciphers(p.GetCipherSuites())
	out.Curves = d.curves(p.GetEcdhCurves())
	d.noEffect(len(p.GetSignatureAlgorithms()) > 0, "signature_algorithms")
	d.noEffect(len(p.GetCompliancePolicies()) > 0, "compliance_policies")
}

// ciphers keeps those Go has. Names may stand in groups of equal preference: [A|B]. TLS 1.3's are always on.
func (d *decoder) ciphers(names []string) (out []uint16) {
	for i, group := range names {
		for _, name := range strings.Split(strings.Trim(group, "[]"), "|") {
			if id, ok := cipherNamed(name); ok {
				out = append(out, id)
			} else {
				d.at("cipher_suites", i, func() { d.note(NoEffect, excerpt(name)) })
			}
		}
	}
	if len(names) > 0 && len(out) == 0 {
		d.failIn("cipher_suites", "none of them is supported")
	}
	return out
}

// cipherNames are the cipher suites of crypto/tls by OpenSSL's names.
var cipherNames = []struct {
	name string
	id   uint16
}{
	{"ECDHE-ECDSA-AES128-GCM-SHA256", tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
	{"ECDHE-RSA-AES128-GCM-SHA256", tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256},
	{"ECDHE-ECDSA-AES256-GCM-SHA384", tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384},
	{"ECDHE-RSA-AES256-GCM-SHA384", tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384},
	{"ECDHE-ECDSA-CHACHA20-POLY1305", tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256},
	{"ECDHE-RSA-CHACHA20-POLY1305", tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256},
	{"ECDHE-ECDSA-AES128-SHA", tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA},
	{"ECDHE-RSA-AES128-SHA", tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA},
	{"ECDHE-ECDSA-AES256-SHA", tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA},
	{"ECDHE-RSA-AES256-SHA", tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA},
	{"AES128-GCM-SHA256", tls.TLS_RSA_WITH_AES_128_GCM_SHA256},
	{"AES256-GCM-SHA384", tls.TLS_RSA_WITH_AES_256_GCM_SHA384},
	{"AES128-SHA", tls.TLS_RSA_WITH_AES_128_CBC_SHA},
	{"AES256-SHA", tls.TLS_RSA_WITH_AES_256_CBC_SHA},
}

func cipherNamed(name string) (uint16, bool) {
	for _, c := range cipherNames {
		if c.name == name {
			return c.id, true
		}
	}
	for _, c := range tls.CipherSuites() {
		if c.Name == name && !slices.Equal(c.SupportedVersions, []uint16{tls.VersionTLS13}) {
			return c.ID, true
		}
	}
	return 0, false
}

// curveNames are the key exchanges of crypto/tls by BoringSSL's names.
var curveNames = []struct {
	name string
	id   tls.CurveID
}{
	{"X25519", tls.X25519}, {"P-256", tls.CurveP256}, {"P-384", tls.CurveP384}, {"P-521", tls.CurveP521},
	{"X25519MLKEM768", tls.X25519MLKEM768},
}

func (d *decoder) curves(names []string) (out []uint16) {
	for i, name := range names {
		known := slices.IndexFunc(curveNames, func(c struct {
			name string
			id   tls.CurveID
		}) bool {
			return c.name == name
		})
		if known < 0 {
			d.at("ecdh_curves", i, func() { d.note(NoEffect, excerpt(name)) })
			continue
		}
		out = append(out, uint16(curveNames[known].id))
	}
	if len(names) > 0 && len(out) == 0 {
		d.failIn("ecdh_curves", "none of them is supported")
	}
	return out
}

// certificates takes the certificates a side shows, by SDS or inline.
func (d *decoder) certificates(c *tlsv3.CommonTlsContext, out *config.TLSParams) {
	for i, s := range c.GetTlsCertificateSdsSecretConfigs() {
		d.at("tls_certificate_sds_secret_configs", i, func() {
			if name, ok := d.secretName(s, out); ok {
				out.Certificates = append(out.Certificates, d.cells.Certificate(name))
			}
		})
	}
	for i, inline := range c.GetTlsCertificates() {
		d.at("tls_certificates", i, func() {
			out.Certificates = append(out.Certificates, config.NewCell(d.certificate(inline)))
		})
	}
}

// secretName notes that a secret is needed. Without a source it would be a static one, which is supplied alike.
func (d *decoder) secretName(s *tlsv3.SdsSecretConfig, out *config.TLSParams) (string, bool) {
	name := d.intern(s.GetName())
	if name == "" {
		d.failIn("name", "empty")
		return "", false
	}
	var source ConfigSource
	if s.GetSdsConfig() != nil {
		d.in("sds_config", func() { source = d.configSource(s.GetSdsConfig()) })
	}
	d.need("secret", &d.needs.Secrets, name, source)
	if !slices.Contains(out.Secrets, name) {
		out.Secrets = append(out.Secrets, name)
	}
	return name, true
}

// validation takes what the other side is verified against.
func (d *decoder) validation(c *tlsv3.CommonTlsContext, out *config.TLSParams) {
	switch v := c.GetValidationContextType().(type) {
	case nil:
	case *tlsv3.CommonTlsContext_ValidationContext:
		d.in("validation_context", func() {
			if t := d.trust(v.ValidationContext); t != nil {
				out.Trust = config.NewCell(t)
			}
		})
	case *tlsv3.CommonTlsContext_ValidationContextSdsSecretConfig:
		d.in("validation_context_sds_secret_config", func() { d.trustByName(v.ValidationContextSdsSecretConfig, out) })
	case *tlsv3.CommonTlsContext_CombinedValidationContext:
		d.in("combined_validation_context", func() { d.combined(v.CombinedValidationContext, out) })
	default:
		d.fail("this kind of validation context is not supported")
	}
}

func (d *decoder) trustByName(s *tlsv3.SdsSecretConfig, out *config.TLSParams) {
	if name, ok := d.secretName(s, out); ok {
		out.Trust = d.cells.Trust(name)
	}
}

func (d *decoder) combined(c *tlsv3.CommonTlsContext_CombinedCertificateValidationContext, out *config.TLSParams) {
	d.in("validation_context_sds_secret_config", func() { d.trustByName(c.GetValidationContextSdsSecretConfig(), out) })
	d.in("default_validation_context", func() {
		v := c.GetDefaultValidationContext()
		out.SANs = d.sans(v)
		out.Hashes = d.hashes(v)
		out.SPKIs = d.spkis(v)
		if v.GetCustomValidatorConfig() != nil {
			d.failIn("custom_validator_config", "only understood in a secret or without SDS")
		}
	})
}
