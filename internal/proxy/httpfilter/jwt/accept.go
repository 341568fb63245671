package jwt

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"strconv"
	"strings"

	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/filter"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

const metadataName = "envoy.filters.http.jwt_authn"

// sanitize removes headers that only this filter may set.
func (p *provider) sanitize(x *stream.Exchange) {
	if p.config.ForwardHeader != "" {
		x.Request.Fields.Remove(p.config.ForwardHeader)
	}
	for _, c := range p.config.ClaimHeaders {
		x.Request.Fields.Remove(c[0])
	}
}

// accept leaves in the request what a verified token says: metadata for later filters, headers for the upstream. The
// token itself goes unless it is to be forwarded.
func (p *provider) accept(x *stream.Exchange, t *token, place found) {
	c := p.config
	if c.PayloadMetadata != "" {
		filter.SetMetadata(x, metadataName, c.PayloadMetadata, p.normalized(t.payload))
	}
	if c.HeaderMetadata != "" {
		filter.SetMetadata(x, metadataName, c.HeaderMetadata, t.header)
	}
	if c.ForwardHeader != "" {
		x.Request.Fields.Add(c.ForwardHeader, p.forwarded(t))
	}
	for _, each := range c.ClaimHeaders {
		if value, ok := claim(t.payload, each[1]); ok {
			x.Request.Fields.Set(each[0], value)
		}
	}
	x.Stale = x.Stale || c.ClearRouteCache
	if c.Forward {
		return
	}
	if place.header != "" {
		x.Request.Fields.Remove(place.header)
	}
	if place.param != "" {
		x.Request.Path = withoutParameter(x.Request.Path, place.param)
	}
}

func (p *provider) forwarded(t *token) string {
	if p.config.PadForward {
		return t.encoded + strings.Repeat("=", (4-len(t.encoded)%4)%4)
	}
	return t.encoded
}

// normalized is the payload with its space-delimited claims as lists.
func (p *provider) normalized(payload map[string]any) map[string]any {
	if !p.config.NormalizeSpaces {
		return payload
	}
	copied := maps.Clone(payload)
	for _, name := range [...]string{"scope", "permission"} {
		if text, ok := copied[name].(string); ok {
			list := []any{}
			for _, word := range strings.Fields(text) {
				list = append(list, word)
			}
			copied[name] = list
		}
	}
	return copied
}

// claim is a claim as a header has it: nested ones by their path with dots, lists and objects as base64url JSON.
func claim(payload map[string]any, path string) (string, bool) {
	value, there := payload[path]
	for !there {
		outer, inner, ok := strings.Cut(path, ".")
		level, isMap := payload[outer].(map[string]any)
		if !ok || !isMap {
			return "", false
		}
		payload, path = level, inner
		value, there = payload[path]
	}
	switch v := value.(type) {
	case string:
		return v, headerSafe(v)
	case bool:
		return strconv.FormatBool(v), true
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), true
	case nil:
		return "", false
	default:
		raw, err := json.Marshal(v)
		return base64.RawURLEncoding.EncodeToString(raw), err == nil
	}
}

// headerSafe keeps a claim with control bytes out of the head of a request.
func headerSafe(value string) bool {
	return strings.IndexFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) < 0
}
