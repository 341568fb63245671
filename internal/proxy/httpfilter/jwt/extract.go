package jwt

import (
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/http/route"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/filter"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// provider is an issuer with its keys and the places its tokens come in.
type provider struct {
	config  *config.JWTProvider
	keys    *keySet
	headers [][2]string
	params  []string
}

func newProviders(all map[string]*config.JWTProvider, d filter.Deps) (list []*provider, byName map[string]*provider) {
	byName = map[string]*provider{}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		p := &provider{config: all[name], keys: newKeySet(all[name], d)}
		p.headers, p.params = p.config.FromHeaders, p.config.FromParams
		if len(p.headers) == 0 && len(p.params) == 0 && len(p.config.FromCookies) == 0 {
			p.headers, p.params = [][2]string{{"authorization", "Bearer "}}, []string{"access_token"}
		}
		byName[name] = p
		list = append(list, p)
	}
	return list, byName
}

// found is a token and where it was.
type found struct {
	text          string
	header, param string
}

// mostTokens bounds how many tokens of one request are verified.
const mostTokens = 8

// extract returns what is at the provider's places: headers, then parameters, then cookies.
func (p *provider) extract(x *stream.Exchange) (list []found) {
	for _, place := range p.headers {
		fields := &x.Request.Fields
		for i := range fields.Len() {
			if f := fields.At(i); f.Name == place[0] {
				if text, ok := afterPrefix(f.Value, place[1]); ok {
					list = append(list, found{text: text, header: place[0]})
				}
			}
		}
	}
	for _, name := range p.params {
		if text := parameter(x.Request.Path, name); text != "" {
			list = append(list, found{text: text, param: name})
		}
	}
	for _, name := range p.config.FromCookies {
		if text := route.Cookie(&x.Request.Fields, name); text != "" {
			list = append(list, found{text: text})
		}
	}
	return list[:min(len(list), mostTokens)]
}

// afterPrefix returns the token in a header: what follows the prefix, up to the first character no token has.
func afterPrefix(value, prefix string) (string, bool) {
	_, rest, ok := strings.Cut(value, prefix)
	if !ok {
		return "", false
	}
	start := strings.IndexFunc(rest, tokenRune)
	if start < 0 {
		return rest, rest != ""
	}
	rest = rest[start:]
	if end := strings.IndexFunc(rest, func(r rune) bool { return !tokenRune(r) }); end >= 0 {
		rest = rest[:end]
	}
	return rest, true
}

func tokenRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.'
}

func parameter(target, name string) string {
	_, query, _ := strings.Cut(target, "?")
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		key, value, _ := strings.Cut(pair, "=")
		if key == name {
			if text, err := url.QueryUnescape(value); err == nil {
				return text
			}
			return value
		}
	}
	return ""
}

// withoutParameter is a target without a query parameter.
func withoutParameter(target, name string) string {
	path, query, there := strings.Cut(target, "?")
	if !there {
		return target
	}
	pairs := slices.DeleteFunc(strings.Split(query, "&"), func(pair string) bool {
		key, _, _ := strings.Cut(pair, "=")
		return key == name
	})
	if len(pairs) == 0 {
		return path
	}
	return path + "?" + strings.Join(pairs, "&")
}
