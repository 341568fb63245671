package route

import (
	"strings"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// Rewrite changes path and host of x's request as its route says, and sets x-envoy-original-path unless suppressed.
// auto_host_rewrite waits for the host: RewriteHost.
func Rewrite(x *stream.Exchange, suppress bool) {
	f := x.Route.Forward
	rewriteHost(x, f)
	path, changed := rewritten(&x.Route.Match, f, x.Request.Path)
	if !changed {
		return
	}
	if x.Request.OriginalPath == "" {
		x.Request.OriginalPath = x.Request.Path
	}
	if !suppress {
		x.Request.Fields.Set("x-envoy-original-path", x.Request.Path)
	}
	x.Request.Path = path
}

func rewritten(m *config.RouteMatch, f *config.Forward, target string) (string, bool) {
	if f.PrefixRewrite == "" && f.RegexRewrite == nil && f.PathTemplate == "" {
		return target, false
	}
	path, _ := splitQuery(target)
	query := target[len(path):]
	switch {
	case f.PrefixRewrite != "":
		return f.PrefixRewrite + path[matched(m, path):] + query, true
	case f.RegexRewrite != nil:
		path = f.RegexRewrite.Apply(path)
	case m.Regex != nil:
		path = m.Regex.Fill(path, f.PathTemplate)
	}
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	return path + query, true
}

// matched is how much of path the match has taken: a rewrite replaces that much.
func matched(m *config.RouteMatch, path string) int {
	if (m.Kind == config.PathPrefix || m.Kind == config.PathSeparatedPrefix) && len(m.Path) <= len(path) {
		return len(m.Path)
	}
	return len(path)
}

func rewriteHost(x *stream.Exchange, f *config.Forward) {
	switch {
	case x.Weighted != nil && x.Weighted.HostRewrite != "":
		RewriteHost(x, x.Weighted.HostRewrite)
	case f.HostRewrite != "":
		RewriteHost(x, f.HostRewrite)
	case f.HostFromHeader != "":
		host, _ := x.Request.Header(f.HostFromHeader)
		RewriteHost(x, host)
	case f.HostFromPath != nil:
		path, _ := splitQuery(x.Request.Path)
		RewriteHost(x, f.HostFromPath.Apply(path))
	}
}

// RewriteHost gives x's request another host; an empty one changes nothing. The old one goes to x-forwarded-host if the
// route asks for it. With auto_host_rewrite it is called with the endpoint's host name.
func RewriteHost(x *stream.Exchange, host string) {
	if host == "" {
		return
	}
	if x.Route.Forward.ForwardedHost && x.Request.Authority != "" {
		appendListed(&x.Request.Fields, "x-forwarded-host", x.Request.Authority)
	}
	x.Request.Authority = host
}

// appendListed appends to a comma-separated header, unless it ends with the value already.
func appendListed(fields *stream.Fields, name, value string) {
	old, there := fields.Joined(name)
	switch {
	case !there || old == "":
		fields.Set(name, value)
	case strings.TrimSpace(old[strings.LastIndexByte(old, ',')+1:]) != value:
		fields.Set(name, old+","+value)
	}
}

// ShadowHost is the host of a mirrored request: `-shadow` before the port.
func ShadowHost(authority string) string {
	host, port := splitPort(authority)
	if port == "" {
		return host + "-shadow"
	}
	return host + "-shadow:" + port
}
