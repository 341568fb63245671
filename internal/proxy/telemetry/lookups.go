package telemetry

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
)

// maxLookups is how many names are remembered.
const maxLookups = 100

// Lookups remember which statistics were asked for by name, if that is enabled: names shall be looked up when
// configuration comes, and not once a request.
type Lookups struct {
	enabled atomic.Bool
	mu      sync.Mutex
	names   map[string]uint64
	total   uint64
}

// Enabled reports whether look-ups are remembered.
func (l *Lookups) Enabled() bool { return l.enabled.Load() }

// Enable starts or stops remembering.
func (l *Lookups) Enable(on bool) { l.enabled.Store(on) }

// Clear forgets everything.
func (l *Lookups) Clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.names, l.total = nil, 0
}

func (l *Lookups) note(prefix, name string) {
	if !l.enabled.Load() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total++
	if l.names == nil {
		l.names = map[string]uint64{}
	}
	if name = prefix + name; l.names[name] > 0 || len(l.names) < maxLookups {
		l.names[name]++
	}
}

// WriteText writes the names with how often each was looked up, then the total.
func (l *Lookups) WriteText(w io.Writer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	names := make([]string, 0, len(l.names))
	for name := range l.names {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(l.names[b], l.names[a]), cmp.Compare(a, b)) })
	_, _ = fmt.Fprintln(w, "   Count Lookup")
	for _, name := range names {
		_, _ = fmt.Fprintf(w, "%8d %s\n", l.names[name], name)
	}
	_, _ = fmt.Fprintf(w, "\ntotal: %d\n", l.total)
}

// Lookups returns what is remembered of look-ups by name.
func (s *Store) Lookups() *Lookups { return &s.lookups }
