package remotelog

import (
	"crypto/tls"
	"maps"
	"math"
	"slices"

	"github.com/pillion-mesh/pillion/internal/proxy/stream"
	"github.com/pillion-mesh/pillion/internal/proxy/wire"
)

// Fields of TLSProperties and of its certificates.
const (
	tlsVersion = 1
	tlsCipher  = 2
	tlsName    = 3
	tlsLocal   = 4
	tlsPeer    = 5
	tlsSession = 6

	certNames   = 1
	certSubject = 2
	certIssuer  = 3
	nameURI     = 1
	nameDNS     = 2
)

// tlsOf is the TLSProperties of a connection, of which only the server name may be known.
func tlsOf(c *stream.Conn) (b []byte) {
	t := c.TLS
	if t == nil {
		return wire.AppendText(nil, tlsName, c.SNI)
	}
	if t.Version >= tls.VersionTLS10 && t.Version <= tls.VersionTLS13 {
		b = wire.AppendNumber(b, tlsVersion, uint64(t.Version-tls.VersionTLS10+1))
	}
	if t.Cipher != 0 {
		b = wire.AppendBytes(b, tlsCipher, boxed(uint64(t.Cipher)))
	}
	name := t.ServerName
	if name == "" {
		name = c.SNI
	}
	b = appendText(b, tlsName, name)
	b = wire.AppendBytes(b, tlsLocal, names(nil, nameURI, t.LocalURISANs))
	if t.PeerCert != nil || len(t.PeerURISANs)+len(t.PeerDNSSANs) > 0 || t.PeerSubject != "" {
		peer := names(names(nil, nameURI, t.PeerURISANs), nameDNS, t.PeerDNSSANs)
		peer = appendText(peer, certSubject, t.PeerSubject)
		if t.PeerCert != nil {
			peer = appendText(peer, certIssuer, t.PeerCert.Issuer.String())
		}
		b = wire.AppendBytes(b, tlsPeer, peer)
	}
	return appendText(b, tlsSession, t.SessionID)
}

func names(b []byte, kind wire.Number, list []string) []byte {
	for _, name := range list {
		b = wire.AppendBytes(b, certNames, wire.AppendText(nil, kind, name))
	}
	return b
}

// Fields of google.protobuf.Struct and Value.
const (
	structFields = 1
	valueNull    = 1
	valueNumber  = 2
	valueString  = 3
	valueBool    = 4
	valueStruct  = 5
	valueArray   = 6
	arrayValues  = 1
)

// maxDepth bounds how deep metadata is told; what is nested deeper is null.
const maxDepth = 32

// appendMetadata writes the connection's and the request's metadata as a Metadata message, if there is any.
func appendMetadata(b []byte, field wire.Number, x *stream.Exchange) []byte {
	all := x.Conn.Metadata
	if len(x.Metadata) > 0 {
		all = maps.Clone(all)
		if all == nil {
			all = map[string]map[string]any{}
		}
		maps.Copy(all, x.Metadata)
	}
	var out []byte
	for _, filter := range slices.Sorted(maps.Keys(all)) {
		out = wire.AppendBytes(out, 1, wire.AppendBytes(wire.AppendText(nil, 1, filter), 2, structOf(all[filter], 0)))
	}
	if out == nil {
		return b
	}
	return wire.AppendBytes(b, field, out)
}

func structOf(m map[string]any, depth int) (b []byte) {
	for _, key := range slices.Sorted(maps.Keys(m)) {
		b = wire.AppendBytes(b, structFields, wire.AppendBytes(wire.AppendText(nil, 1, key), 2, valueOf(m[key], depth+1)))
	}
	return b
}

func valueOf(v any, depth int) []byte {
	if depth > maxDepth {
		return wire.AppendNumber(nil, valueNull, 0)
	}
	switch v := v.(type) {
	case string:
		return wire.AppendText(nil, valueString, v)
	case float64:
		return wire.AppendFixed(nil, valueNumber, math.Float64bits(v))
	case int:
		return wire.AppendFixed(nil, valueNumber, math.Float64bits(float64(v)))
	case int64:
		return wire.AppendFixed(nil, valueNumber, math.Float64bits(float64(v)))
	case uint32:
		return wire.AppendFixed(nil, valueNumber, math.Float64bits(float64(v)))
	case bool:
		if v {
			return wire.AppendNumber(nil, valueBool, 1)
		}
		return wire.AppendNumber(nil, valueBool, 0)
	case map[string]any:
		return wire.AppendBytes(nil, valueStruct, structOf(v, depth))
	case []any:
		var list []byte
		for _, each := range v {
			list = wire.AppendBytes(list, arrayValues, valueOf(each, depth+1))
		}
		return wire.AppendBytes(nil, valueArray, list)
	default:
		return wire.AppendNumber(nil, valueNull, 0)
	}
}

// appendState writes one of filter_state_objects: texts as StringValue, objects as Struct.
func appendState(b []byte, field wire.Number, key string, object any) []byte {
	var kind string
	var content []byte
	switch v := object.(type) {
	case string:
		kind, content = "google.protobuf.StringValue", wire.AppendText(nil, 1, v)
	case map[string]any:
		kind, content = "google.protobuf.Struct", structOf(v, 0)
	default:
		return b
	}
	packed := wire.AppendBytes(wire.AppendText(nil, 1, "type.googleapis.com/"+kind), 2, content)
	return wire.AppendBytes(b, field, wire.AppendBytes(wire.AppendText(nil, 1, key), 2, packed))
}
