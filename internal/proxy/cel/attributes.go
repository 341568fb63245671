package cel

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"maps"
	"net/netip"
	"strings"

	"github.com/pillion-mesh/pillion/internal/proxy/format"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// value is what an attribute is of an exchange; nil: it isn't there.
type value func(*stream.Exchange) any

// attribute is one that an expression asks for.
type attribute struct {
	name string
	of   value
}

// roots are the names attributes begin with. One without a list has keys of anybody's choosing.
var roots = map[string]map[string]value{
	"request": {
		"path": func(x *stream.Exchange) any { return x.Request.Path },
		"url_path": func(x *stream.Exchange) any {
			path, _, _ := strings.Cut(x.Request.Path, "?")
			return path
		},
		"query": func(x *stream.Exchange) any {
			_, query, _ := strings.Cut(x.Request.Path, "?")
			return query
		},
		"host": func(x *stream.Exchange) any { return text(x.Request.Authority) }, "scheme": func(x *stream.Exchange) any { return text(x.Request.Scheme) },
		"method": func(x *stream.Exchange) any { return text(x.Request.Method) }, "referer": header("referer"), "useragent": header("user-agent"), "id": header("x-request-id"),
		"headers":  func(x *stream.Exchange) any { return newHeaders(x.Request.Joined, x.Request.Fields.Len()) },
		"protocol": func(x *stream.Exchange) any { return text(x.Protocol.String()) },
		"time":     func(x *stream.Exchange) any { return x.Start }, "duration": func(x *stream.Exchange) any { return x.End },
		"size": func(x *stream.Exchange) any { return int64(x.Received) },
	},
	"response": {
		"code": func(x *stream.Exchange) any {
			if x.Response.Status == 0 {
				return nil
			}
			return int64(x.Response.Status)
		},
		"code_details": func(x *stream.Exchange) any { return text(x.Details) }, "flags": flags, "size": func(x *stream.Exchange) any { return int64(x.Sent) },
		"grpc_status": func(x *stream.Exchange) any {
			if x.GRPCStatus < 0 {
				return nil
			}
			return int64(x.GRPCStatus)
		},
		"headers":  func(x *stream.Exchange) any { return newHeaders(x.Response.Fields.Joined, x.Response.Fields.Len()) },
		"trailers": func(x *stream.Exchange) any { return newHeaders(x.ResponseTrailers.Joined, x.ResponseTrailers.Len()) },
	},
	"source":      addressOf((*stream.Exchange).Client),
	"destination": addressOf(func(x *stream.Exchange) netip.AddrPort { return x.Conn.Local }),
	"connection": merged(tlsOf(func(x *stream.Exchange) *stream.TLS { return x.Conn.TLS }), map[string]value{
		"id": func(x *stream.Exchange) any { return int64(x.Conn.ID) }, "requested_server_name": func(x *stream.Exchange) any { return text(x.Conn.SNI) },
		"mtls":                     func(x *stream.Exchange) any { return x.Conn.TLS != nil && x.Conn.TLS.Mutual },
		"termination_details":      func(x *stream.Exchange) any { return text(x.Conn.Termination) },
		"transport_failure_reason": func(x *stream.Exchange) any { return text(x.Conn.TransportFailure) },
	}),
	"upstream": merged(tlsOf(func(x *stream.Exchange) *stream.TLS { return x.Upstream.TLS }), addressOf(func(x *stream.Exchange) netip.AddrPort { return x.Upstream.Remote }), map[string]value{
		"local_address":            func(x *stream.Exchange) any { return addressText(x.Upstream.Local) },
		"transport_failure_reason": func(x *stream.Exchange) any { return text(x.Upstream.TransportFailure) },
		"request_attempt_count":    func(x *stream.Exchange) any { return int64(x.Attempts) },
	}),
	"metadata":     {"filter_metadata": metadata},
	"filter_state": nil,
}

// text is nil if it is empty: that is how an attribute that isn't there looks.
func text(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func header(name string) value {
	return func(x *stream.Exchange) any {
		if v, there := x.Request.Joined(name); there {
			return v
		}
		return nil
	}
}

func addressText(a netip.AddrPort) any {
	if !a.IsValid() {
		return nil
	}
	return a.String()
}

func addressOf(of func(*stream.Exchange) netip.AddrPort) map[string]value {
	return map[string]value{
		"address": func(x *stream.Exchange) any { return addressText(of(x)) },
		"port": func(x *stream.Exchange) any {
			if a := of(x); a.IsValid() {
				return int64(a.Port())
			}
			return nil
		},
	}
}

// tlsOf are the attributes of one side's TLS. Of several names of a certificate an attribute is the first.
func tlsOf(of func(*stream.Exchange) *stream.TLS) map[string]value {
	secured := func(f func(*stream.TLS) string) value {
		return func(x *stream.Exchange) any {
			if t := of(x); t != nil {
				return text(f(t))
			}
			return nil
		}
	}
	first := func(list []string) string {
		if len(list) == 0 {
			return ""
		}
		return list[0]
	}
	return map[string]value{
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

func merged(lists ...map[string]value) map[string]value {
	all := map[string]value{}
	for _, list := range lists {
		maps.Copy(all, list)
	}
	return all
}

// flags are Envoy's bits. It has one more than we, of the cache filter: those behind it are one further.
func flags(x *stream.Exchange) any {
	const before = stream.NoFilterConfigFound - 1
	all := x.Flags | x.Conn.Flags
	return int64(all&before) | int64(all&^before)<<1
}

func metadata(x *stream.Exchange) any {
	all := map[string]any{}
	for _, source := range []map[string]map[string]any{x.Conn.Metadata, x.Metadata} {
		for filter, fields := range source {
			all[filter] = fields
		}
	}
	return all
}

// values are what the expression asks for, as cel-go takes it.
func (e *Expression) values(x *stream.Exchange) map[string]any {
	all := make(map[string]any, len(e.uses))
	for root, list := range e.uses {
		if roots[root] == nil {
			all[root] = newLookup(func(key string) any { return format.FilterState(x, key) })
			continue
		}
		fields := make(map[string]any, len(list))
		for _, each := range list {
			if v := each.of(x); v != nil {
				fields[each.name] = v
			}
		}
		all[root] = fields
	}
	return all
}
