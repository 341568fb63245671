package tlsctx

import (
	"container/list"
	"crypto/tls"
	"sync"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// Sessions keeps a cluster's TLS sessions by server name, the most recently used ones. Safe for concurrent use.
type Sessions struct {
	limit int

	mu    sync.Mutex
	order *list.List // of *session, the newest first
	byKey map[string]*list.Element
}

type session struct {
	key   string
	state *tls.ClientSessionState
	made  generation
}

// generation is the secrets a session was made under. Under others it isn't resumed: the server would see who we were.
type generation struct {
	certificate *config.Certificate
	trust       *config.Trust
}

// NewSessions returns an empty cache for a context. Its limit is the context's max_session_keys: sessions a server name
// here. It is nil, no cache, if that is 0.
func NewSessions(c *config.ClientTLS) *Sessions {
	limit := defaultSessions
	if c.MaxSessions != nil {
		limit = int(min(*c.MaxSessions, maxSessions))
	}
	if limit == 0 {
		return nil
	}
	return &Sessions{limit: limit, order: list.New(), byKey: map[string]*list.Element{}}
}

// Bounds of the number of sessions a cluster keeps. Envoy's default is 1 for each of its workers.
const (
	defaultSessions = 4
	maxSessions     = 1024
)

// sessionView is the cache as one client configuration sees it.
type sessionView struct {
	sessions *Sessions
	params   *config.TLSParams
}

func (v *sessionView) generation() generation {
	g := generation{trust: trustOf(v.params)}
	if len(v.params.Certificates) > 0 {
		g.certificate = v.params.Certificates[0].Load()
	}
	return g
}

// Get is of tls.ClientSessionCache.
func (v *sessionView) Get(key string) (*tls.ClientSessionState, bool) {
	s := v.sessions
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.byKey[key]
	if e == nil {
		return nil, false
	}
	found := sessionIn(e)
	if found.made != v.generation() {
		s.remove(e)
		return nil, false
	}
	s.order.MoveToFront(e)
	return found.state, true
}

// Put is of tls.ClientSessionCache: a nil state removes the session.
func (v *sessionView) Put(key string, state *tls.ClientSessionState) {
	s := v.sessions
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.byKey[key]; e != nil {
		s.remove(e)
	}
	if state == nil {
		return
	}
	s.byKey[key] = s.order.PushFront(&session{key, state, v.generation()})
	if s.order.Len() > s.limit {
		s.remove(s.order.Back())
	}
}

// remove is called with mu held.
func (s *Sessions) remove(e *list.Element) {
	delete(s.byKey, sessionIn(e).key)
	s.order.Remove(e)
}

func sessionIn(e *list.Element) *session {
	return e.Value.(*session) //nolint:errcheck // the list holds nothing else
}
