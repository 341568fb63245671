package remotelog

import (
	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/format"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
	"github.com/pillion-mesh/pillion/internal/proxy/wire"
)

// Fields of HTTPAccessLogEntry and TCPAccessLogEntry, envoy/data/accesslog/v3/accesslog.proto.
const (
	entryCommon     = 1
	entryProtocol   = 2 // of HTTP
	entryRequest    = 3
	entryResponse   = 4
	entryConnection = 2 // of TCP

	connectionReceived = 1
	connectionSent     = 2
)

// entries makes entries of Envoy's service of exchanges.
type entries struct {
	config *config.RemoteLog
	tags   []tag
}

func newEntries(c *config.RemoteLog) *entries { return &entries{c, compileTags(c.Tags)} }

func (e *entries) encode(x *stream.Exchange) []byte {
	b := wire.AppendBytes(make([]byte, 0, 1024), entryCommon, e.common(x))
	if e.config.Kind == config.TCPLog {
		connection := appendCount(appendCount(nil, connectionReceived, x.Received), connectionSent, x.Sent)
		return wire.AppendBytes(b, entryConnection, connection)
	}
	b = appendCount(b, entryProtocol, protocols[x.Protocol])
	b = wire.AppendBytes(b, entryRequest, e.request(x))
	return wire.AppendBytes(b, entryResponse, e.response(x))
}

// protocols are HTTPVersion's values.
var protocols = [...]uint64{stream.NoProtocol: 0, stream.HTTP10: 1, stream.HTTP11: 2, stream.HTTP2: 3}

// Fields of HTTPRequestProperties.
const (
	requestMethod       = 1
	requestScheme       = 2
	requestAuthority    = 3
	requestPort         = 4
	requestPath         = 5
	requestAgent        = 6
	requestReferer      = 7
	requestForwardedFor = 8
	requestID           = 9
	requestOriginalPath = 10
	requestHeadBytes    = 11
	requestBodyBytes    = 12
	requestHeaders      = 13
)

// methods are RequestMethod's values; others are 0, not told.
var methods = map[string]uint64{
	"GET": 1, "HEAD": 2, "POST": 3, "PUT": 4, "DELETE": 5, "CONNECT": 6, "OPTIONS": 7, "TRACE": 8, "PATCH": 9,
}

func (e *entries) request(x *stream.Exchange) []byte {
	r := &x.Request
	b := appendCount(nil, requestMethod, methods[r.Method])
	b = appendText(appendText(b, requestScheme, r.Scheme), requestAuthority, r.Authority)
	if port := x.Conn.Local.Port(); port != 0 {
		b = wire.AppendBytes(b, requestPort, boxed(uint64(port)))
	}
	b = appendText(b, requestPath, r.Path)
	for _, h := range [...]struct {
		field wire.Number
		name  string
	}{{requestAgent, "user-agent"}, {requestReferer, "referer"}, {requestForwardedFor, "x-forwarded-for"}, {requestID, "x-request-id"}} {
		joined, _ := r.Fields.Joined(h.name)
		b = appendText(b, h.field, joined)
	}
	b = appendText(b, requestOriginalPath, r.OriginalPath)
	b = appendCount(b, requestHeadBytes, uint64(len(r.Method)+len(r.Scheme)+len(r.Authority)+len(r.Path))+fieldBytes(&r.Fields))
	b = appendCount(b, requestBodyBytes, x.Received)
	return wire.AppendMap(b, requestHeaders, named(e.config.RequestHeaders, r.Joined))
}

// Fields of HTTPResponseProperties.
const (
	responseCode      = 1
	responseHeadBytes = 2
	responseBodyBytes = 3
	responseHeaders   = 4
	responseTrailers  = 5
	responseDetails   = 6
)

func (e *entries) response(x *stream.Exchange) (b []byte) {
	r := &x.Response
	if r.Status != 0 {
		b = wire.AppendBytes(b, responseCode, boxed(uint64(r.Status)))
	}
	b = appendCount(b, responseHeadBytes, fieldBytes(&r.Fields))
	b = appendCount(b, responseBodyBytes, x.Sent)
	b = wire.AppendMap(b, responseHeaders, named(e.config.ResponseHeaders, r.Fields.Joined))
	b = wire.AppendMap(b, responseTrailers, named(e.config.ResponseTrailers, x.ResponseTrailers.Joined))
	return appendText(b, responseDetails, x.Details)
}

// named are those of some headers that are there.
func named(names []string, get func(string) (string, bool)) map[string]string {
	if len(names) == 0 {
		return nil
	}
	out := map[string]string{}
	for _, name := range names {
		if value, there := get(name); there {
			out[name] = value
		}
	}
	return out
}

func fieldBytes(f *stream.Fields) (n uint64) {
	for i := range f.Len() {
		n += uint64(len(f.At(i).Name) + len(f.At(i).Value))
	}
	return n
}

// appendText leaves out what is empty, appendCount what is zero: that is how protobuf says it.
func appendText(b []byte, field wire.Number, text string) []byte {
	if text == "" {
		return b
	}
	return wire.AppendText(b, field, text)
}

func appendCount(b []byte, field wire.Number, n uint64) []byte {
	if n == 0 {
		return b
	}
	return wire.AppendNumber(b, field, n)
}

// boxed is a UInt32Value.
func boxed(n uint64) []byte { return appendCount(nil, 1, n) }

// tag is a custom tag, made ready.
type tag struct {
	name, missing string
	value         *format.Format
}

func compileTags(list []config.TraceTag) (out []tag) {
	for i := range list {
		if f, err := format.CompileValue(list[i].Value.Source, ""); err == nil {
			out = append(out, tag{list[i].Name, list[i].Missing, f})
		}
	}
	return out
}

// of is the tag's value; empty: it is left out.
func (t *tag) of(x *stream.Exchange) string {
	if text := t.value.Append(nil, x); len(text) > 0 {
		return string(text)
	}
	return t.missing
}
