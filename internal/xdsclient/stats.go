package xdsclient

import (
	"sync"
	"sync/atomic"
)

// Stats are a client's counters. They are only ever added to, and may be read any time.
type Stats struct {
	// Connected is control_plane.connected_state: the stream is up and the server has answered on it.
	Connected atomic.Bool

	mu    sync.Mutex
	types map[string]*Counters
}

// Counters are of one type: the update_… statistics of lds., cds. and so on.
type Counters struct {
	Attempt, Success, Failure, Rejected atomic.Uint64
	version                             atomic.Pointer[string]
}

// Version is version_text: the version of the last response that was taken.
func (c *Counters) Version() string {
	if v := c.version.Load(); v != nil {
		return *v
	}
	return ""
}

// Of returns the counters of a type.
func (s *Stats) Of(typeURL string) *Counters {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.types[typeURL]
	if c == nil {
		if s.types == nil {
			s.types = map[string]*Counters{}
		}
		c = &Counters{}
		s.types[typeURL] = c
	}
	return c
}

// Answered counts a response that was taken, or refused for a reason.
func (c *Counters) Answered(version string, reason error) {
	c.Attempt.Add(1)
	if reason != nil {
		c.Rejected.Add(1)
		return
	}
	c.Success.Add(1)
	c.version.Store(&version)
}

// failed counts the end of a stream for each type that was wanted of it.
func (s *Stats) failed(wants []want) {
	for _, w := range wants {
		s.Of(w.typeURL).Failure.Add(1)
	}
}
