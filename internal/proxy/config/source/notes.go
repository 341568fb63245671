package source

import (
	"sync"
	"sync/atomic"

	"github.com/go-logr/logr"

	"github.com/pillion-mesh/pillion/internal/proxy/config/xds"
)

// maxNotes bounds how many different notes are remembered as logged.
const maxNotes = 1000

// notes counts what isn't done as it was asked for, and logs each such thing once.
type notes struct {
	skipped, degraded, unknown atomic.Uint64

	mu     sync.Mutex
	logged map[noted]struct{}
}

type noted struct {
	kind xds.NoteKind
	what string
}

func (n *notes) take(log logr.Logger, r resource, needs xds.Needs) {
	for _, note := range needs.Notes {
		switch note.Kind {
		case xds.Skipped:
			n.skipped.Add(1)
		case xds.Degraded:
			n.degraded.Add(1)
		}
		if n.first(noted{note.Kind, note.What}) {
			log.Info("Part of the configuration isn't done as it was asked for", "as", note.Kind.String(),
				"what", note.What, "first", words[r.kind]+" "+r.name, "path", note.Path)
		}
	}
	for message, count := range needs.Unknown {
		n.unknown.Add(uint64(count))
		if n.first(noted{what: message}) {
			log.Info("A message has fields this proxy doesn't know; they are ignored", "message", message, "first", words[r.kind]+" "+r.name)
		}
	}
}

func (n *notes) first(note noted) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, known := n.logged[note]; known || len(n.logged) >= maxNotes {
		return false
	}
	if n.logged == nil {
		n.logged = map[noted]struct{}{}
	}
	n.logged[note] = struct{}{}
	return true
}
