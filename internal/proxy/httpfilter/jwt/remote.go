package jwt

import (
	"context"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/filter"
)

const (
	standardCache   = 10 * time.Minute
	standardTimeout = 5 * time.Second
	// pause is how long keys that couldn't be fetched aren't asked for again.
	pause = time.Second
)

// keySet are a provider's keys: inline ones, or remote ones that are fetched when the first token wants them and again
// when they are old. Old keys stay in use while they can't be fetched.
type keySet struct {
	config *config.JWTProvider
	deps   filter.Deps
	inline problem // of an inline set

	mu      sync.Mutex
	keys    []key
	next    time.Time     // when to fetch (again)
	pending chan struct{} // closed when the fetch that runs now has ended; nil: none runs
}

func newKeySet(c *config.JWTProvider, d filter.Deps) *keySet {
	s := &keySet{config: c, deps: d}
	if c.RemoteURI == "" {
		s.keys, s.inline = parseKeys([]byte(c.Inline))
	}
	return s
}

// get returns the keys. With asking nobody is waited for: only keys at hand count.
func (s *keySet) get(ctx context.Context, asking bool) ([]key, problem) {
	if s.config.RemoteURI == "" {
		return s.keys, s.inline
	}
	keys, wait := s.current(asking)
	if keys != nil || wait == nil {
		return keys, orFetch(keys)
	}
	select {
	case <-wait:
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keys, orFetch(s.keys)
}

func orFetch(keys []key) problem {
	if keys == nil {
		return keysFetch
	}
	return none
}

// current returns the keys at hand and, if a fetch runs, what tells its end. It starts one when it is time.
func (s *keySet) current(asking bool) ([]key, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !asking && s.pending == nil && !s.deps.Now().Before(s.next) {
		s.pending = make(chan struct{})
		s.deps.Go(s.fetch)
	}
	if asking {
		return s.keys, nil
	}
	return s.keys, s.pending
}

// fetch asks for the keys and ends the wait for them.
func (s *keySet) fetch() {
	keys := s.download()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next = s.deps.Now().Add(pause)
	if keys != nil {
		s.keys = keys
		s.next = s.deps.Now().Add(or(s.config.CacheTime, standardCache))
	}
	close(s.pending)
	s.pending = nil
}

func (s *keySet) download() []key {
	address, err := url.Parse(s.config.RemoteURI)
	if err != nil {
		return nil
	}
	timeout := or(s.config.RemoteTimeout, standardTimeout)
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	answer, err := s.deps.Call(ctx, &filter.Call{
		Cluster: s.config.RemoteCluster, Method: http.MethodGet, Host: address.Host, Path: address.RequestURI(),
		Timeout: timeout, Purpose: "jwt",
	})
	if err != nil || answer.Status != http.StatusOK {
		return nil
	}
	keys, _ := parseKeys(answer.Body)
	return keys
}

func or(d, standard time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return standard
}
