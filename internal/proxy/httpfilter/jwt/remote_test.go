package jwt

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/filter"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// server is where remote keys come from.
type server struct {
	mu    sync.Mutex
	jwks  string
	calls int
	seen  filter.Call
}

func (s *server) call(_ context.Context, c *filter.Call) (*filter.Answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	s.seen = *c
	if s.jwks == "" {
		return nil, errors.New("no answer")
	}
	return &filter.Answer{Status: 200, Body: []byte(s.jwks)}, nil
}

func (s *server) set(jwks string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.jwks = jwks
}

func TestRemoteKeys(t *testing.T) {
	s := newSigners(t)
	remote := &server{}
	clock := now
	background := []func(){}
	f, err := New(&config.JWT{
		Providers: map[string]*config.JWTProvider{"p": {
			Name: "p", RemoteURI: "https://issuer.com:8443/keys?v=1", RemoteCluster: "issuer", CacheTime: time.Minute,
		}},
		Rules: everywhere(&config.JWTRequirement{Provider: "p"}),
	}, filter.Deps{
		Call: remote.call, Now: func() time.Time { return clock },
		Go: func(f func()) { background = append(background, f) },
	})
	if err != nil {
		t.Fatal(err)
	}
	run := func() {
		for _, f := range background {
			f()
		}
		background = nil
	}
	// ask lets a fetch run before the answer is waited for.
	ask := func() string {
		token := s.sign(t, "ES256", claims())
		done := make(chan string)
		f.(*authn).byName["p"].keys.current(false)
		run()
		go func() { done <- body(f, bearer(token)) }()
		return <-done
	}
	if got := ask(); got != "Jwks remote fetch is failed" {
		t.Errorf("without keys: %q", got)
	}
	remote.set(s.jwks)
	if got := ask(); got != "Jwks remote fetch is failed" || remote.calls != 1 {
		t.Errorf("asked again at once: %q, %d calls", got, remote.calls)
	}
	clock = clock.Add(time.Second)
	if got := ask(); got != "" || remote.calls != 2 {
		t.Errorf("with keys: %q, %d calls", got, remote.calls)
	}
	if remote.seen.Cluster != "issuer" || remote.seen.Host != "issuer.com:8443" || remote.seen.Path != "/keys?v=1" || remote.seen.Method != http.MethodGet {
		t.Errorf("asked %+v", remote.seen)
	}
	remote.set("")
	clock = clock.Add(time.Minute)
	if got := ask(); got != "" || remote.calls != 3 {
		t.Errorf("old keys: %q, %d calls", got, remote.calls)
	}
	tr := &stream.Trace{}
	f.Request(context.Background(), request(), tr)
	if remote.calls != 3 || len(tr.Steps) != 1 || tr.Steps[0].Reason != "jwt_authn: Jwt is missing" {
		t.Errorf("a trace: %v", tr.Steps)
	}
}

func TestManyAskForKeysOnce(t *testing.T) {
	s := newSigners(t)
	remote := &server{jwks: s.jwks}
	f := newFilter(t, &config.JWT{
		Providers: map[string]*config.JWTProvider{"p": {Name: "p", RemoteURI: "https://i/k", RemoteCluster: "i"}},
		Rules:     everywhere(&config.JWTRequirement{Provider: "p"}),
	}, filter.Deps{Call: remote.call})
	token := s.sign(t, "RS256", claims())
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if got := body(f, bearer(token)); got != "" {
				t.Error(got)
			}
		})
	}
	all.Wait()
	if remote.calls != 1 {
		t.Errorf("%d calls", remote.calls)
	}
}
