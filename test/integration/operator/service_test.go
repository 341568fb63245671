package operator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"
)

// service stands in for a Service: a TCP relay to the replicas that are ready, which hears of changes as late as
// kube-proxy may.
type service struct {
	listener net.Listener
	lag      time.Duration

	mu       sync.Mutex
	backends []*backend
	next     int
	conns    map[net.Conn]bool

	stop context.CancelFunc
	wait sync.WaitGroup
}

type backend struct {
	replica *replica
	ready   bool
}

func newService(t *testing.T) *service {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	s := &service{listener: l, lag: time.Second, stop: cancel, conns: map[net.Conn]bool{}}
	s.wait.Go(func() { s.accept(ctx) })
	s.wait.Go(func() { s.watch(ctx) })
	t.Cleanup(s.close)
	return s
}

func (s *service) url() string { return "https://" + s.listener.Addr().String() }

func (s *service) add(r *replica) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.backends = append(s.backends, &backend{replica: r})
}

func (s *service) hearAtOnce() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lag = 0
}

// only says whether exactly these are endpoints.
func (s *service) only(replicas ...*replica) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.backends {
		if b.ready != slices.Contains(replicas, b.replica) {
			return fmt.Errorf("replica %s is an endpoint: %t", b.replica.name, b.ready)
		}
	}
	return nil
}

// remove takes a dead replica out at once.
func (s *service) remove(r *replica) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.backends {
		if b.replica == r {
			b.ready = false
		}
	}
}

func (s *service) close() {
	s.stop()
	s.listener.Close()
	s.mu.Lock()
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	s.wait.Wait()
}

// watch looks at readiness like a kubelet; what it sees takes effect after the lag.
func (s *service) watch(ctx context.Context) {
	probe := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		s.mu.Lock()
		backends := append([]*backend(nil), s.backends...)
		s.mu.Unlock()
		for _, b := range backends {
			ready := probed(ctx, &probe, b.replica)
			s.mu.Lock()
			was, lag := b.ready, s.lag
			s.mu.Unlock()
			if ready == was {
				continue
			}
			if ready {
				lag = 0
			}
			s.wait.Go(func() { s.set(ctx, b, ready, lag) })
		}
	}
}

func probed(ctx context.Context, c *http.Client, r *replica) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.ops+"/readyz", nil)
	if err != nil {
		return false
	}
	answer, err := c.Do(request)
	if err != nil {
		return false
	}
	answer.Body.Close()
	return answer.StatusCode == http.StatusOK
}

func (s *service) set(ctx context.Context, b *backend, ready bool, lag time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(lag):
		s.mu.Lock()
		defer s.mu.Unlock()
		b.ready = ready
	}
}

func (s *service) accept(ctx context.Context) {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.wait.Go(func() { s.relay(ctx, c) })
	}
}

// pick goes round the ready ones.
func (s *service) pick() (*replica, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range s.backends {
		s.next++
		if b := s.backends[s.next%len(s.backends)]; b.ready {
			return b.replica, nil
		}
	}
	return nil, errors.New("no endpoint")
}

func (s *service) relay(ctx context.Context, from net.Conn) {
	defer s.track(from)()
	r, err := s.pick()
	if err != nil {
		return
	}
	to, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", r.webhook)
	if err != nil {
		return
	}
	defer s.track(to)()
	var both sync.WaitGroup
	both.Go(func() { copyHalf(to, from) })
	both.Go(func() { copyHalf(from, to) })
	both.Wait()
}

// track closes a connection at the end, or when the service closes.
func (s *service) track(c net.Conn) func() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[c] = true
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.conns, c)
		c.Close()
	}
}

func copyHalf(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}
