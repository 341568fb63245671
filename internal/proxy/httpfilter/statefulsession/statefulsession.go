// Package statefulsession is Envoy's filter stateful_session: an answer tells the client in a cookie or a header which
// host gave it, and requests that say so go to that host again. A request's head comes in, a stream.Session goes out;
// package upstream looks whether the cluster has such a host. Read this file, then value.go for what clients are told.
package statefulsession

import (
	"context"
	"strings"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/http/route"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/filter"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

type session struct {
	config *config.StatefulSession
	now    func() time.Time
	counts counts
}

// counts are the filter's statistics; of nil functions nothing is counted.
type counts struct{ routed, failedOpen, failedClosed, none func() }

// New returns the filter.
func New(c *config.StatefulSession, deps filter.Deps) (filter.Filter, error) {
	s := &session{config: c, now: deps.Now}
	if c.StatPrefix != "" {
		prefix := "stateful_session." + c.StatPrefix + "."
		s.counts = counts{
			deps.Counter(prefix + "routed"), deps.Counter(prefix + "failed_open"),
			deps.Counter(prefix + "failed_closed"), deps.Counter(prefix + "no_session"),
		}
	}
	return s, nil
}

// Override implements filter.Overrider: a route's own configuration replaces this one, and counts nothing.
func (s *session) Override(c any) (filter.Filter, error) {
	own, ok := c.(*config.StatefulSession)
	if !ok {
		own = &config.StatefulSession{}
	}
	return &session{config: own, now: s.now}, nil
}

// Request notes which host the client asks for.
func (s *session) Request(_ context.Context, x *stream.Exchange, tr *stream.Trace) *filter.Reply {
	if !s.applies(x.Request.Path) {
		return nil
	}
	host := s.asked(x)
	if tr.On() {
		tr.Note("filter", "stateful_session: the client asks for host %q", host)
	}
	x.Sessions = append(x.Sessions, stream.Session{Owner: s, Host: host, Strict: s.config.Strict, Status: int(s.config.NotFound)})
	return nil
}

// applies reports whether the client would send the cookie with a request for this path.
func (s *session) applies(path string) bool {
	if s.config.Cookie == nil {
		return s.config.Header != ""
	}
	of := s.config.Cookie.Path
	if of == "" || of == "/" {
		return true
	}
	rest, below := strings.CutPrefix(path, of)
	return below && (of[len(of)-1] == '/' || rest == "" || strings.IndexByte("/?#", rest[0]) >= 0)
}

func (s *session) asked(x *stream.Exchange) string {
	if s.config.Cookie != nil {
		return readCookie(route.Cookie(&x.Request.Fields, s.config.Cookie.Name), s.now())
	}
	value, _ := x.Request.Fields.Get(s.config.Header)
	return readHeader(value)
}

// Response tells the client its host, unless it is the one it asked for.
func (s *session) Response(x *stream.Exchange) {
	host := hostOf(x)
	asked, known := s.of(x)
	switch {
	case !known && host != "":
		count(s.counts.none)
	case !known:
	case host == "":
		if s.config.Strict && x.Flags&stream.NoHealthyUpstream != 0 {
			count(s.counts.failedClosed)
		}
	case host == asked:
		count(s.counts.routed)
	default:
		if !s.config.Strict {
			count(s.counts.failedOpen)
		}
		s.tell(x, host)
	}
}

// of is what the client asked this filter for; not known: it wasn't looked at.
func (s *session) of(x *stream.Exchange) (host string, known bool) {
	for i := range x.Sessions {
		if x.Sessions[i].Owner == filter.Filter(s) {
			return x.Sessions[i].Host, true
		}
	}
	return "", false
}

func (s *session) tell(x *stream.Exchange, host string) {
	if c := s.config.Cookie; c != nil {
		x.Response.Fields.Add("set-cookie", route.SetCookie(c.Name, writeCookie(host, c.TTL, s.now()), c.TTL, c.Path, c.Attributes))
		return
	}
	x.Response.Fields.Set(s.config.Header, writeHeader(host))
}

// hostOf is the host that was tried last, "" if none was.
func hostOf(x *stream.Exchange) string {
	switch e := x.Upstream.Endpoint; {
	case e == nil:
		return ""
	case e.Pipe != "":
		return e.Pipe
	default:
		return e.Address.String()
	}
}

func count(f func()) {
	if f != nil {
		f()
	}
}
