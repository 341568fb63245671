package cel

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"maps"
	"net/netip"
	"strings"

	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// attribute is what is known of an exchange; noKind: it isn't there.
type attribute func(*stream.Exchange) value

var absent value

// roots are the names attributes begin with. One without a list has keys of anybody's choosing.
var roots = map[string]map[string]attribute{
	"request": {
		"path": func(x *stream.Exchange) value { return stringValue(x.Request.Path) },
		"url_path": func(x *stream.Exchange) value {
			path, _, _ := strings.Cut(x.Request.Path, "?")
			return stringValue(path)
		},
		"query": func(x *stream.Exchange) value {
			_, query, _ := strings.Cut(x.Request.Path, "?")
			return stringValue(query)
		},
		"host": func(x *stream.Exchange) value { return text(x.Request.Authority) }, "scheme": func(x *stream.Exchange) value { return text(x.Request.Scheme) },
		"method": func(x *stream.Exchange) value { return text(x.Request.Method) }, "referer": header("referer"), "useragent": header("user-agent"), "id": header("x-request-id"),
		"headers":  func(x *stream.Exchange) value { return mapValue((*requestHeaders)(&x.Request)) },
		"protocol": func(x *stream.Exchange) value { return text(x.Protocol.String()) },
		"time":     func(x *stream.Exchange) value { return timeValue(x.Start) }, "duration": func(x *stream.Exchange) value { return durationValue(x.End) },
		"size": func(x *stream.Exchange) value { return intValue(int64(x.Received)) },
	},
	"response": {
		"code": func(x *stream.Exchange) value {
			if x.Response.Status == 0 {
				return absent
			}
			return intValue(int64(x.Response.Status))
		},
		"code_details": func(x *stream.Exchange) value { return text(x.Details) }, "flags": flags, "size": func(x *stream.Exchange) value { return intValue(int64(x.Sent)) },
		"grpc_status": func(x *stream.Exchange) value {
			if x.GRPCStatus < 0 {
				return absent
			}
			return intValue(int64(x.GRPCStatus))
		},
		"headers":  func(x *stream.Exchange) value { return mapValue((*headers)(&x.Response.Fields)) },
		"trailers": func(x *stream.Exchange) value { return mapValue((*headers)(&x.ResponseTrailers)) },
	},
	"source":      addressOf((*stream.Exchange).Client),
	"destination": addressOf(func(x *stream.Exchange) netip.AddrPort { return x.Conn.Local }),
	"connection": merged(tlsOf(func(x *stream.Exchange) *stream.TLS { return x.Conn.TLS }), map[string]attribute{
		"id": func(x *stream.Exchange) value { return intValue(int64(x.Conn.ID)) }, "requested_server_name": func(x *stream.Exchange) value { return text(x.Conn.SNI) },
		"mtls":                     func(x *stream.Exchange) value { return boolValue(x.Conn.TLS != nil && x.Conn.TLS.Mutual) },
		"termination_details":      func(x *stream.Exchange) value { return text(x.Conn.Termination) },
		"transport_failure_reason": func(x *stream.Exchange) value { return text(x.Conn.TransportFailure) },
	}),
	"upstream": merged(tlsOf(func(x *stream.Exchange) *stream.TLS { return x.Upstream.TLS }), addressOf(func(x *stream.Exchange) netip.AddrPort { return x.Upstream.Remote }), map[string]attribute{
		"local_address":            func(x *stream.Exchange) value { return addressText(x.Upstream.Local) },
		"transport_failure_reason": func(x *stream.Exchange) value { return text(x.Upstream.TransportFailure) },
		"request_attempt_count":    func(x *stream.Exchange) value { return intValue(int64(x.Attempts)) },
	}),
	"metadata":     {"filter_metadata": func(x *stream.Exchange) value { return mapValue((*metadata)(x)) }},
	"filter_state": nil,
}

// text is absent if it is empty: that is how an attribute that isn't there looks.
func text(s string) value {
	if s == "" {
		return absent
	}
	return stringValue(s)
}

func header(name string) attribute {
	return func(x *stream.Exchange) value {
		if v, there := x.Request.Joined(name); there {
			return stringValue(v)
		}
		return absent
	}
}

func addressText(a netip.AddrPort) value {
	if !a.IsValid() {
		return absent
	}
	return stringValue(a.String())
}

func addressOf(of func(*stream.Exchange) netip.AddrPort) map[string]attribute {
	return map[string]attribute{
		"address": func(x *stream.Exchange) value { return addressText(of(x)) },
		"port": func(x *stream.Exchange) value {
			if a := of(x); a.IsValid() {
				return intValue(int64(a.Port()))
			}
			return absent
		},
	}
}

// tlsOf are the attributes of one side's TLS. Of several names of a certificate an attribute is the first.
func tlsOf(of func(*stream.Exchange) *stream.TLS) map[string]attribute {
	secured := func(f func(*stream.TLS) string) attribute {
		return func(x *stream.Exchange) value {
			if t := of(x); t != nil {
				return text(f(t))
			}
			return absent
		}
	}
	first := func(list []string) string {
		if len(list) == 0 {
			return ""
		}
		return list[0]
	}
	return map[string]attribute{
		"tls_version":               secured(func(t *stream.TLS) string { return strings.Replace(tls.VersionName(t.Version), "TLS ", "TLSv", 1) }),
		"subject_peer_certificate":  secured(func(t *stream.TLS) string { return t.PeerSubject }),
		"dns_san_peer_certificate":  secured(func(t *stream.TLS) string { return first(t.PeerDNSSANs) }),
		"uri_san_peer_certificate":  secured(func(t *stream.TLS) string { return first(t.PeerURISANs) }),
		"uri_san_local_certificate": secured(func(t *stream.TLS) string { return first(t.LocalURISANs) }),
		"sha256_peer_certificate_digest": secured(func(t *stream.TLS) string {
			if t.PeerCert == nil {
				return ""
			}
			sum := sha256.Sum256(t.PeerCert.Raw)
			return hex.EncodeToString(sum[:])
		}),
	}
}

func merged(lists ...map[string]attribute) map[string]attribute {
	all := map[string]attribute{}
	for _, list := range lists {
		maps.Copy(all, list)
	}
	return all
}

// flags are Envoy's bits. It has one more than we, of the cache filter: those behind it are one further.
func flags(x *stream.Exchange) value {
	const before = stream.NoFilterConfigFound - 1
	all := x.Flags | x.Conn.Flags
	return intValue(int64(all&before) | int64(all&^before)<<1)
}
