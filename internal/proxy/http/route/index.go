// Package route holds what is decided about an HTTP request without doing anything: which virtual host and route take
// it, which cluster, what its path, host and header fields become, whether it may be tried again. A *config.RouteTable
// and a *stream.Exchange come in; choices and a changed exchange go out. Nothing here blocks, reads a clock or rolls
// dice: time and chance come in as values, so that traffic, /explain and tests run the same code.
//
// Read this file first; then hosts.go (virtual hosts), routes.go and match.go (routes), cluster.go, ops.go (header
// operations), rewrite.go, redirect.go. normalize.go, xff.go, xfcc.go and requestid.go are what is done to a request
// before it is routed; timeout.go, retry.go and hash.go what is asked when it goes upstream.
package route

import (
	"strings"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// Runtime gives a runtime key's value in parts of a million; not ok: the key isn't set.
type Runtime func(key string) (perMillion uint32, ok bool)

// Takes reports whether chance, 64 random bits, falls into the fraction. A nil fraction takes everything.
func (r Runtime) Takes(f *config.Fraction, chance uint64) bool {
	if f == nil {
		return true
	}
	part := f.PerMillion
	if r != nil && f.Key != "" {
		if value, ok := r(f.Key); ok {
			part = value
		}
	}
	return chance%1_000_000 < uint64(part)
}

// Index is a route table made quick to search. Making it costs a few map entries a virtual host; the routes of one are
// looked at when its first request comes. It may be used by many goroutines at once.
type Index struct {
	// Runtime is asked for runtime keys; nil: none is set. It is set before the first Match.
	Runtime Runtime

	table  *config.RouteTable
	hosts  hosts
	by     map[*config.VirtualHost]*host
	levels opsByConfig // of the table itself
}

// NewIndex returns the index of table, which may be nil: then nothing matches.
func NewIndex(table *config.RouteTable) *Index {
	if table == nil {
		table = &config.RouteTable{}
	}
	i := &Index{table: table, by: make(map[*config.VirtualHost]*host, len(table.VirtualHosts))}
	i.hosts = newHosts(table.VirtualHosts, i.by)
	i.levels = opsByConfig{}
	i.levels.add(&table.RequestHeaders)
	i.levels.add(&table.ResponseHeaders)
	return i
}

// Table is the route table this is the index of.
func (i *Index) Table() *config.RouteTable { return i.table }

// Match returns the virtual host and the route that take x's request; the route, or both, may be nil: 404 NR. chance
// are 64 random bits for runtime_fraction. Hosts that want TLS answer with a redirect.
func (i *Index) Match(x *stream.Exchange, chance uint64, tr *stream.Trace) (*config.VirtualHost, *config.Route) {
	name := x.Request.Authority
	if i.table.IgnorePort {
		name, _ = splitPort(name)
	}
	h := i.hosts.find(name, tr)
	if h == nil {
		return nil, nil
	}
	if wantsTLS(h.config, x) {
		if tr.On() {
			tr.Note("route", "virtual host %s requires TLS: redirect to https", h.config.Name)
		}
		return h.config, toHTTPS
	}
	return h.config, h.routes().find(x, chance, i.Runtime, tr)
}

// splitPort takes the port off a host. A colon of a bare IPv6 address is none.
func splitPort(authority string) (host, port string) {
	i := strings.LastIndexByte(authority, ':')
	if i < 0 || strings.IndexByte(authority[i:], ']') >= 0 {
		return authority, ""
	}
	if strings.IndexByte(authority[:i], ':') >= 0 && !strings.HasSuffix(authority[:i], "]") {
		return authority, ""
	}
	return authority[:i], authority[i+1:]
}

// toHTTPS is the route of virtual hosts with require_tls for requests without it.
var toHTTPS = &config.Route{Redirect: &config.Redirect{Code: 301, Scheme: "https"}}

func wantsTLS(v *config.VirtualHost, x *stream.Exchange) bool {
	if v.RequireTLS == config.TLSNotRequired || scheme(x) == "https" {
		return false
	}
	return v.RequireTLS == config.TLSAll || !x.Internal
}

// scheme is the scheme the client used, as x-forwarded-proto tells or else the connection.
func scheme(x *stream.Exchange) string {
	if proto, ok := x.Request.Fields.Get("x-forwarded-proto"); ok {
		return proto
	}
	if x.Conn != nil && x.Conn.TLS != nil {
		return "https"
	}
	return "http"
}
