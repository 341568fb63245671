package operatortest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Service stands in for a Service: a TCP relay to the replicas that are ready, which hears of changes as late as
// kube-proxy may.
type Service struct {
	listener net.Listener
	lag      time.Duration
	file     string // has the addresses of what is ready, see rotation.go

	mu       sync.Mutex
	backends []*backend
	next     int
	inside   map[*Replica]int // connections it was given that are still open
	conns    map[net.Conn]bool

	stop context.CancelFunc
	wait sync.WaitGroup
}

type backend struct {
	replica *Replica
	ready   bool // it is given connections
	listed  bool // EndpointSlices would have it
	silent  int  // how many probes in a row had no answer in time
}

func newService(t *testing.T) *Service {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	Must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	s := &Service{listener: l, lag: time.Second, file: filepath.Join(t.TempDir(), "endpoints"), stop: cancel, conns: map[net.Conn]bool{}, inside: map[*Replica]int{}}
	s.publish()
	s.wait.Go(func() { s.accept(ctx) })
	s.wait.Go(func() { s.watch(ctx) })
	t.Cleanup(s.close)
	return s
}

// URL is the base of where the API server finds the replicas.
func (s *Service) URL() string { return "https://" + s.listener.Addr().String() }

func (s *Service) add(r *Replica) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.backends = append(s.backends, &backend{replica: r})
}

// HearAtOnce takes the lag away.
func (s *Service) HearAtOnce() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lag = 0
}

// Only is an error unless exactly these are endpoints.
func (s *Service) Only(replicas ...*Replica) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.backends {
		if b.ready != slices.Contains(replicas, b.replica) {
			return fmt.Errorf("replica %s is an endpoint: %t", b.replica.Name, b.ready)
		}
	}
	return nil
}

// Remove takes a dead replica out at once.
func (s *Service) Remove(r *Replica) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.backends {
		if b.replica == r {
			b.ready, b.listed = false, false
		}
	}
	s.publish()
}

// list is what EndpointSlices do, which know before kube-proxies. The caller has the lock.
func (s *Service) list(b *backend, ready bool) {
	if b.listed != ready {
		b.listed = ready
		s.publish()
	}
}

// publish tells the operator which replicas are ready. The caller has the lock.
func (s *Service) publish() {
	var ready []string
	for _, b := range s.backends {
		if b.listed {
			ready = append(ready, b.replica.Webhook)
		}
	}
	// A file that can't be written is old, and a test that needs it fails.
	if os.WriteFile(s.file+".new", []byte(strings.Join(ready, "\n")), 0o600) == nil {
		_ = os.Rename(s.file+".new", s.file)
	}
}

func (s *Service) close() {
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
func (s *Service) watch(ctx context.Context) {
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
			err := probed(ctx, &probe, b.replica)
			s.mu.Lock()
			was, lag := b.ready, s.lag
			ready := b.hear(err)
			s.list(b, ready)
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

// missed is how many probes in a row may have no answer in time before a replica counts as not ready, as in a kubelet:
// one may be late because the machine is busy.
const missed = 3

// hear returns whether a replica that a probe ended so with is ready. The caller has the Service's lock.
func (b *backend) hear(err error) bool {
	if !os.IsTimeout(err) {
		b.silent = 0
		return err == nil
	}
	b.silent++
	return b.listed && b.silent < missed
}

// probed is nil if the replica says that it is ready.
func probed(ctx context.Context, c *http.Client, r *Replica) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.Ops+"/readyz", nil)
	if err != nil {
		return err
	}
	answer, err := c.Do(request)
	if err != nil {
		return err
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return errors.New(answer.Status)
	}
	return nil
}

func (s *Service) set(ctx context.Context, b *backend, ready bool, lag time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(lag):
		s.mu.Lock()
		defer s.mu.Unlock()
		b.ready = ready
	}
}

func (s *Service) accept(ctx context.Context) {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.wait.Go(func() { s.relay(ctx, c) })
	}
}

// pick goes round the ready ones. Who gets one has a connection until leave.
func (s *Service) pick() (*Replica, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range s.backends {
		s.next++
		if b := s.backends[s.next%len(s.backends)]; b.ready {
			s.inside[b.replica]++
			return b.replica, nil
		}
	}
	return nil, errors.New("no endpoint")
}

func (s *Service) leave(r *Replica) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inside[r]--
}

func (s *Service) relay(ctx context.Context, from net.Conn) {
	defer s.track(from)()
	r, err := s.pick()
	if err != nil {
		return
	}
	defer s.leave(r)
	to, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", r.Webhook)
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
func (s *Service) track(c net.Conn) func() {
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
