package workload

import (
	"cmp"
	"maps"
	"slices"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
)

// maxNamespaces is how many of them a status lists.
const maxNamespaces = 100

// counts are pods by state. A stale pod counts as injected too.
type counts struct{ injected, stale, missing int32 }

func (c *counts) add(s state) {
	switch s {
	case stateInjected:
		c.injected++
	case stateStale:
		c.injected++
		c.stale++
	case stateMissing:
		c.missing++
	case stateNone, stateCandidate:
	}
}

// tally counts the pods of one Injector.
type tally struct {
	all        counts
	namespaces map[string]*counts
	unknown    int // candidates nobody could look at yet
}

func newTally() *tally { return &tally{namespaces: map[string]*counts{}} }

func (t *tally) add(namespace string, s state) {
	if s == stateCandidate {
		t.unknown++
		return
	}
	if s == stateNone {
		return
	}
	of := t.namespaces[namespace]
	if of == nil {
		of = &counts{}
		t.namespaces[namespace] = of
	}
	of.add(s)
	t.all.add(s)
}

// status is the tally as Injectors show it: namespaces where something is to be done come first, those with most to do
// before the others, and the rest by name.
func (t *tally) status() *v1alpha1.PodCounts {
	status := &v1alpha1.PodCounts{Injected: t.all.injected, Stale: t.all.stale, Missing: t.all.missing}
	names := slices.SortedFunc(maps.Keys(t.namespaces), func(a, b string) int {
		ca, cb := t.namespaces[a], t.namespaces[b]
		return cmp.Or(cmp.Compare(cb.missing+cb.stale, ca.missing+ca.stale), cmp.Compare(a, b))
	})
	for _, name := range names[:min(len(names), maxNamespaces)] {
		c := t.namespaces[name]
		status.Namespaces = append(status.Namespaces, v1alpha1.NamespacePodCounts{Name: name, Injected: c.injected, Stale: c.stale, Missing: c.missing})
	}
	return status
}
