package route

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// Matches reports whether all of m holds for x's request. chance are 64 random bits for runtime_fraction.
func Matches(m *config.RouteMatch, x *stream.Exchange, chance uint64, runtime Runtime) bool {
	q := newQuestion(x, chance, runtime)
	return q.misses(m).why == nothing
}

// question is a request as it is compared with many matches.
type question struct {
	x           *stream.Exchange
	path, query string // what is before the question mark, and after it
	chance      uint64
	runtime     Runtime
}

func newQuestion(x *stream.Exchange, chance uint64, runtime Runtime) question {
	path, query := splitQuery(x.Request.Path)
	return question{x, path, query, chance, runtime}
}

func splitQuery(target string) (path, query string) {
	path, query, _ = strings.Cut(target, "?")
	return path, query
}

// miss is the first part of a match that doesn't hold, and which of several it is.
type miss struct {
	why   reason
	which int
}

type reason uint8

const (
	nothing reason = iota
	byFraction
	byPath
	byMethod
	byHeader
	byQuery
	byGRPC
	byTLS
	byMetadata
)

func (q *question) misses(m *config.RouteMatch) miss {
	switch {
	case m.Kind == config.PathConnect && q.x.Request.Method != http.MethodConnect:
		return miss{why: byMethod}
	case m.Kind != config.PathConnect && !matchPath(m, q.path):
		return miss{why: byPath}
	case m.Fraction != nil && !q.runtime.Takes(m.Fraction, q.chance):
		return miss{why: byFraction}
	}
	for i := range m.Headers {
		if value, there := q.x.Request.Joined(m.Headers[i].Name); !m.Headers[i].Match(value, there) {
			return miss{byHeader, i}
		}
	}
	for i := range m.Query {
		if value, there := parameter(q.query, m.Query[i].Name); !m.Query[i].Match(value, there) {
			return miss{byQuery, i}
		}
	}
	return q.rarelyMisses(m)
}

func (q *question) rarelyMisses(m *config.RouteMatch) miss {
	if m.GRPC && !IsGRPC(&q.x.Request) {
		return miss{why: byGRPC}
	}
	if m.TLS != nil && !matchTLS(m.TLS, q.x.Conn) {
		return miss{why: byTLS}
	}
	for i := range m.Metadata {
		if !m.Metadata[i].Match(q.x.Metadata) {
			return miss{byMetadata, i}
		}
	}
	return miss{}
}

// matchPath compares a path without query.
func matchPath(m *config.RouteMatch, path string) bool {
	switch m.Kind {
	case config.PathExact:
		return len(path) == len(m.Path) && begins(path, m.Path, m.IgnoreCase)
	case config.PathPrefix:
		return begins(path, m.Path, m.IgnoreCase)
	case config.PathSeparatedPrefix:
		return begins(path, m.Path, m.IgnoreCase) && (len(path) == len(m.Path) || path[len(m.Path)] == '/')
	default:
		return m.Regex != nil && m.Regex.Match(path)
	}
}

func begins(path, prefix string, ignoreCase bool) bool {
	if len(path) < len(prefix) {
		return false
	}
	if ignoreCase {
		return strings.EqualFold(path[:len(prefix)], prefix)
	}
	return path[:len(prefix)] == prefix
}

// Parameter returns the first value of a parameter of a path's query, as it is written: Envoy compares it so too.
func Parameter(path, name string) (value string, there bool) {
	_, query := splitQuery(path)
	return parameter(query, name)
}

func parameter(query, name string) (value string, there bool) {
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		key, value, _ := strings.Cut(pair, "=")
		if key == name {
			return value, true
		}
	}
	return "", false
}

// IsGRPC reports whether a request is gRPC by its content type.
func IsGRPC(r *stream.Request) bool {
	kind, _ := r.Fields.Get("content-type")
	const grpc = "application/grpc"
	return strings.HasPrefix(kind, grpc) && (len(kind) == len(grpc) || kind[len(grpc)] == '+' || kind[len(grpc)] == ';')
}

func matchTLS(m *config.TLSMatch, conn *stream.Conn) bool {
	presented := conn.TLS != nil && conn.TLS.PeerCert != nil
	validated := conn.TLS != nil && conn.TLS.Mutual
	return (m.Presented == nil || *m.Presented == presented) && (m.Validated == nil || *m.Validated == validated)
}

// text says for a trace what missed, or that nothing did.
func (s miss) text(m *config.RouteMatch) string {
	switch s.why {
	case byPath:
		return "the path isn't " + pathText(m)
	case byMethod:
		return "the method isn't CONNECT"
	case byFraction:
		return fmt.Sprintf("chance: it takes %d of a million", m.Fraction.PerMillion)
	case byHeader:
		return "header " + m.Headers[s.which].Name + " doesn't match"
	case byQuery:
		return "query parameter " + m.Query[s.which].Name + " doesn't match"
	case byGRPC:
		return "the request isn't gRPC"
	case byTLS:
		return "the client's certificate isn't as asked for"
	case byMetadata:
		return "metadata " + m.Metadata[s.which].Filter + " doesn't match"
	default:
		return "matches"
	}
}

func pathText(m *config.RouteMatch) string {
	switch m.Kind {
	case config.PathExact:
		return "exactly " + m.Path
	case config.PathPrefix:
		return "one that begins with " + m.Path
	case config.PathSeparatedPrefix:
		return m.Path + " or below it"
	default:
		if m.Regex != nil {
			return "one that matches " + m.Regex.Source
		}
		return "one that matches " + m.Path
	}
}

func nameOf(r *config.Route, i int) string {
	if r.Name != "" {
		return r.Name
	}
	return fmt.Sprintf("route %d", i)
}
