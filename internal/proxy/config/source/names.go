package source

import "time"

const defaultWarmTime = 5 * time.Second

// lookUp has a cluster wait for the names of its hosts.
func (s *Source) lookUp(e *entry, v *version) {
	if s.running != nil && s.running.Err() != nil {
		return
	}
	if v.names = s.opts.Warm(v.cluster); v.names == nil {
		return
	}
	over := v.names
	s.group.Go(func() {
		timer := time.NewTimer(s.opts.WarmTime)
		defer timer.Stop()
		select {
		case <-over:
		case <-timer.C:
		}
		s.looked(e, v)
	})
}

// looked lets a cluster go on.
func (s *Source) looked(e *entry, v *version) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v.names = nil
	if e.warming == v {
		s.check = append(s.check, e)
		s.settle()
	}
}
