package operatortest

import (
	"slices"
	"syscall"
)

// Admit puts a replica back that was evicted.
func (s *Service) Admit(r *Replica) { s.add(r) }

// Evict takes a replica out, ready or not, until it is admitted again.
func (s *Service) Evict(r *Replica) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.evict(r)
}

func (s *Service) evict(r *Replica) {
	s.backends = slices.DeleteFunc(slices.Clone(s.backends), func(b *backend) bool { return b.replica == r })
	s.publish()
}

// Inside is how many connections that the relay gave to a replica are still open.
func (s *Service) Inside(r *Replica) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inside[r]
}

// Lose kills a replica as a node's death does of which the Service has already heard: no call is sent there any more. It
// returns how many were inside at that moment and are lost with it.
func (s *Service) Lose(r *Replica) (inside int) {
	s.mu.Lock()
	s.evict(r)
	inside = s.inside[r]
	r.whole(syscall.SIGKILL)
	s.mu.Unlock()
	<-r.ended
	return inside
}
