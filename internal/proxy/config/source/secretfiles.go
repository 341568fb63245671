package source

import (
	"hash/maphash"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config/xds"
)

// filesRead are the files a resource names, by the sum of what was in them when it was decoded; 0: they couldn't be read.
type filesRead map[string]uint64

// recording reads files and notes what was in them.
func (f filesRead) recording(read xds.Files) xds.Files {
	return func(name string) ([]byte, error) {
		content, err := read(name)
		f[name] = sumOf(content, err)
		return content, err
	}
}

func sumOf(content []byte, err error) uint64 {
	if err != nil {
		return 0
	}
	return maphash.Bytes(seed, content)
}

// changed reports whether something else is in one of the files now.
func (f filesRead) changed(read xds.Files) bool {
	for name, sum := range f {
		if sumOf(read(name)) != sum {
			return true
		}
	}
	return false
}

// remember notes the files of a resource, so that they are looked at from now on.
func (s *Source) remember(e *entry, f filesRead) {
	delete(s.reads, e)
	if len(f) > 0 {
		s.reads[e] = f
		s.wake()
	}
}

// nextLook is when such files are looked at again. Certificates are mounted, and links of mounted volumes are
// replaced in ways that watching single files misses.
func (s *Source) nextLook() time.Duration {
	if len(s.reads) == 0 {
		return time.Hour
	}
	return pollEvery
}

// reread decodes resources anew whose files have changed. What doesn't fit together, such as a key that came before its
// certificate, leaves the last good one in use until the files change again.
func (s *Source) reread() {
	s.mu.Lock()
	defer s.mu.Unlock()
	again := false
	for e, f := range s.reads {
		switch {
		case s.tables[e.kind][e.name] != e:
			delete(s.reads, e)
		case !f.changed(s.opts.File):
		case e.kind == secrets || e.refused != nil:
			s.decodeAgain(e)
			again = true
		default:
			s.refill(e)
		}
	}
	if again {
		s.settle()
	}
}

// decodeAgain decodes the bytes that an entry has.
func (s *Source) decodeAgain(e *entry) {
	now := s.opts.Now()
	v := &version{updated: now}
	if e.refused != nil {
		v.text, v.raw = e.refused.text, e.refused.raw
	} else if e.active != nil {
		v.text, v.raw = e.active.text, e.active.raw
	}
	if err := s.decodeAs(e, v, (&inflater{}).bytes(v.raw)); err != nil {
		e.refused = &refusal{text: v.text, raw: v.raw, at: now, err: err}
		s.opts.Log.Info("Files of a "+words[e.kind]+" were refused; what they held before stays", "name", e.name, "reason", err.Error())
		return
	}
	e.refused = nil
	s.opts.Log.Info("Files of a "+words[e.kind]+" have changed, and are in use", "name", e.name)
}
