package route

import (
	"strconv"
	"strings"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// Location is where r, the redirect of a route with match m, sends x's client.
func Location(r *config.Redirect, m *config.RouteMatch, x *stream.Exchange) string {
	was := scheme(x)
	now := was
	if r.Scheme != "" {
		now = r.Scheme
	}
	host := r.Host
	if host == "" {
		host = keptHost(x.Request.Authority, was, now, r.Port != 0)
	}
	if r.Port != 0 {
		host += ":" + strconv.FormatUint(uint64(r.Port), 10)
	}
	return now + "://" + host + redirectPath(r, m, x.Request.Path)
}

// keptHost is the request's host without a port that the redirect replaces, or that was the old scheme's own.
func keptHost(authority, was, now string, newPort bool) string {
	host, port := splitPort(authority)
	own := was == "https" && port == "443" || was == "http" && port == "80"
	if newPort || was != now && own {
		return host
	}
	return authority
}

func redirectPath(r *config.Redirect, m *config.RouteMatch, target string) string {
	path, _ := splitQuery(target)
	query := target[len(path):]
	if r.StripQuery {
		query = ""
	}
	switch {
	case r.Path != "" && strings.IndexByte(r.Path, '?') >= 0:
		return r.Path // its own query stands, whatever strip_query says
	case r.Path != "":
		return r.Path + query
	case r.HasPrefix:
		path = r.PrefixRewrite + path[matched(m, path):]
	case r.RegexRewrite != nil:
		path = r.RegexRewrite.Apply(path)
	}
	return path + query
}
