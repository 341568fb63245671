package extauthz

import (
	"context"
	"encoding/pem"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/peermetadata"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
	"github.com/pillion-mesh/pillion/internal/proxy/wire"
)

// Fields of CheckRequest and AttributeContext, envoy/service/auth/v3.
const (
	checkAttributes = 1

	contextSource      = 1
	contextDestination = 2
	contextRequest     = 4
	contextExtras      = 10
	contextMetadata    = 11
	contextTLSSession  = 12
	contextRoute       = 13

	filterMetadata = 1
	entryKey       = 1
	entryValue     = 2

	peerAddress     = 1
	peerService     = 2
	peerPrincipal   = 4
	peerCertificate = 5
	addressSocket   = 1
	socketAddress   = 2
	socketPort      = 3
	sessionSNI      = 1

	requestTime = 1
	requestHTTP = 2
	timeSeconds = 1
	timeNanos   = 2

	httpID       = 1
	httpMethod   = 2
	httpHeaders  = 3
	httpPath     = 4
	httpHost     = 5
	httpScheme   = 6
	httpSize     = 9
	httpProtocol = 10
	httpBody     = 11
	httpRawBody  = 12
)

// partialBody tells the service whether the body went on.
const partialBody = "x-envoy-auth-partial-body"

// check asks about a request.
func (f *authz) check(ctx context.Context, x *stream.Exchange, body []byte, partial bool) (*verdict, error) {
	return f.overGRPC(ctx, f.question(x, body, partial))
}

// question is a CheckRequest.
func (f *authz) question(x *stream.Exchange, body []byte, partial bool) []byte {
	b := wire.AppendBytes(nil, contextSource, f.source(x))
	b = wire.AppendBytes(b, contextDestination, destination(x.Conn))
	b = wire.AppendBytes(b, contextRequest, f.request(x, body, partial))
	b = wire.AppendMap(b, contextExtras, f.config.ContextExtras)
	if m := appendMetadata(nil, f.config.Metadata, x.Metadata, x.Conn.Metadata); m != nil {
		b = wire.AppendBytes(b, contextMetadata, m)
	}
	if f.config.TLSSession && x.Conn.TLS != nil {
		b = wire.AppendBytes(b, contextTLSSession, wire.AppendText(nil, sessionSNI, x.Conn.TLS.ServerName))
	}
	if len(f.config.RouteMetadata) > 0 && x.Route != nil {
		if m := appendMetadata(nil, f.config.RouteMetadata, x.Route.Metadata); m != nil {
			b = wire.AppendBytes(b, contextRoute, m)
		}
	}
	return wire.AppendBytes(nil, checkAttributes, b)
}

// appendMetadata appends a core.v3.Metadata of the named namespaces, each from the first place that has it.
func appendMetadata(b []byte, names []string, places ...map[string]map[string]any) []byte {
	for _, name := range names {
		for _, place := range places {
			if values, there := place[name]; there {
				entry := wire.AppendText(nil, entryKey, name)
				entry = wire.AppendBytes(entry, entryValue, peermetadata.EncodeStruct(values))
				b = wire.AppendBytes(b, filterMetadata, entry)
				break
			}
		}
	}
	return b
}

// source is the client.
func (f *authz) source(x *stream.Exchange) []byte {
	b := wire.AppendBytes(nil, peerAddress, address(x.Client()))
	if service, there := x.Request.Fields.Get("x-envoy-downstream-service-cluster"); there {
		b = wire.AppendText(b, peerService, service)
	}
	t := x.Conn.TLS
	if t == nil {
		return b
	}
	b = wire.AppendText(b, peerPrincipal, principal(t.PeerURISANs, t.PeerDNSSANs, t.PeerSubject))
	if f.config.IncludePeer && t.PeerCert != nil {
		text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: t.PeerCert.Raw})
		b = wire.AppendText(b, peerCertificate, strings.ReplaceAll(url.QueryEscape(string(text)), "+", "%20"))
	}
	return b
}

// destination is this workload.
func destination(c *stream.Conn) []byte {
	b := wire.AppendBytes(nil, peerAddress, address(c.Local))
	if c.TLS != nil {
		b = wire.AppendText(b, peerPrincipal, principal(c.TLS.LocalURISANs, nil, ""))
	}
	return b
}

// principal is the first name there is.
func principal(uris, names []string, subject string) string {
	for _, list := range [...][]string{uris, names} {
		if len(list) > 0 {
			return list[0]
		}
	}
	return subject
}

func address(a netip.AddrPort) []byte {
	if !a.IsValid() {
		return nil
	}
	b := wire.AppendText(nil, socketAddress, a.Addr().String())
	return wire.AppendBytes(nil, addressSocket, wire.AppendNumber(b, socketPort, uint64(a.Port())))
}

func (f *authz) request(x *stream.Exchange, body []byte, partial bool) []byte {
	when := wire.AppendNumber(nil, timeSeconds, uint64(x.Start.Unix()))
	when = wire.AppendNumber(when, timeNanos, uint64(x.Start.Nanosecond()))
	r := &x.Request
	h := wire.AppendText(nil, httpID, strconv.FormatUint(x.Conn.ID, 10))
	h = wire.AppendText(h, httpMethod, r.Method)
	h = wire.AppendMap(h, httpHeaders, f.headers(x, partial))
	h = wire.AppendText(h, httpPath, r.Path)
	h = wire.AppendText(h, httpHost, r.Authority)
	h = wire.AppendText(h, httpScheme, r.Scheme)
	h = wire.AppendNumber(h, httpSize, uint64(size(r)))
	h = wire.AppendText(h, httpProtocol, x.Protocol.String())
	switch {
	case body == nil:
	case f.config.PackAsBytes:
		h = wire.AppendBytes(h, httpRawBody, body)
	default:
		h = wire.AppendText(h, httpBody, string(body))
	}
	return wire.AppendBytes(wire.AppendBytes(nil, requestTime, when), requestHTTP, h)
}

// size is the body's length, -1 if it isn't told.
func size(r *stream.Request) int64 {
	if !r.HasBody {
		return 0
	}
	return r.Length
}

// headers are the request's, pseudo-headers too, as far as the service may see them.
func (f *authz) headers(x *stream.Exchange, partial bool) map[string]string {
	r := &x.Request
	all := make(map[string]string, r.Fields.Len()+len(pseudo)+1)
	may := func(name string) bool {
		return (len(f.config.RequestHeaders) == 0 || anyMatches(f.config.RequestHeaders, name)) && !f.hidden(name)
	}
	for _, name := range pseudo {
		if value, there := r.Header(name); there && may(name) {
			all[name] = value
		}
	}
	for i := range r.Fields.Len() {
		name := r.Fields.At(i).Name
		if _, done := all[name]; !done && may(name) {
			all[name], _ = r.Fields.Joined(name)
		}
	}
	if f.config.MaxRequestBytes > 0 {
		all[partialBody] = strconv.FormatBool(partial)
	}
	return all
}

// pseudo are the pseudo-headers of a request.
var pseudo = [...]string{":method", ":scheme", ":authority", ":path"}
