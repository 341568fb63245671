package extauthz

import (
	"net/url"
	"strings"
)

// parameter is what becomes of one parameter of a request's query.
type parameter struct {
	name, value string
	drop        bool
}

// apply changes the query of a path. Other parameters stay as they are written.
func (p *parameter) apply(target string) string {
	path, query, _ := strings.Cut(target, "?")
	var kept []string
	for each := range strings.SplitSeq(query, "&") {
		name, _, _ := strings.Cut(each, "=")
		if plain, err := url.QueryUnescape(name); err == nil {
			name = plain
		}
		if each != "" && name != p.name {
			kept = append(kept, each)
		}
	}
	if !p.drop {
		kept = append(kept, url.QueryEscape(p.name)+"="+url.QueryEscape(p.value))
	}
	if len(kept) == 0 {
		return path
	}
	return path + "?" + strings.Join(kept, "&")
}
