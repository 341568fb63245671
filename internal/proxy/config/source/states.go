package source

import (
	"cmp"
	"sort"
	"time"

	"github.com/pillion-mesh/pillion/internal/xdsclient"
)

// ErrorState is a resource whose last version was refused.
type ErrorState struct {
	Type, Name, Version string
	Reason              string // as the NACK says it
	At                  time.Time
}

// Errors are the resources whose last version was refused, by type and name.
func (s *Source) Errors() []ErrorState {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []ErrorState
	for k, table := range s.tables {
		for name, e := range table {
			if r := e.refused; r != nil {
				all = append(all, ErrorState{typeURLs[k], name, r.text, r.err.Error(), r.at})
			}
		}
	}
	sort.Slice(all, func(i, j int) bool {
		return cmp.Or(cmp.Compare(all[i].Type, all[j].Type), cmp.Compare(all[i].Name, all[j].Name)) < 0
	})
	return all
}

// Counters are the update_… statistics of one type.
type Counters struct {
	Attempt, Success, Failure, Rejected uint64
	Version                             string // version_text
}

// Counters returns the statistics of a type, from where all of it comes: cds.… and lds.… for clusters and listeners.
func (s *Source) Counters(typeURL string) Counters {
	s.mu.Lock()
	o := s.origins[s.placeOfAll(typeURL)]
	s.mu.Unlock()
	if o == nil {
		return Counters{}
	}
	c := o.stats().Of(typeURL)
	return Counters{c.Attempt.Load(), c.Success.Load(), c.Failure.Load(), c.Rejected.Load(), c.Version()}
}

func (s *Source) placeOfAll(typeURL string) place {
	if k, ok := kindOf(typeURL); ok && s.roots[k] != nil {
		return placeOf(*s.roots[k], nil)
	}
	return place{}
}

func (o *origin) stats() *xdsclient.Stats {
	if o.files != nil {
		return &o.files.stats
	}
	return o.client.Stats()
}

// Connected is control_plane.connected_state: the ADS stream is up and was answered on.
func (s *Source) Connected() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.origins[place{}]
	return o != nil && o.client != nil && o.client.Stats().Connected.Load()
}

// Warming counts the clusters and the listeners that aren't whole yet.
func (s *Source) Warming() (clusterCount, listenerCount int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for e := range s.warming {
		if e.kind == clusters {
			clusterCount++
		} else {
			listenerCount++
		}
	}
	return clusterCount, listenerCount
}

// Skipped counts what is unknown and optional: pillion.config.skipped.
func (s *Source) Skipped() uint64 { return s.notes.skipped.Load() }

// Degraded counts what is accepted and does nothing: pillion.config.degraded.
func (s *Source) Degraded() uint64 { return s.notes.degraded.Load() }

// Unknown counts protobuf fields that this proxy doesn't know.
func (s *Source) Unknown() uint64 { return s.notes.unknown.Load() }

// Came reports whether the first answer about all clusters is there: before, the state is PRE_INITIALIZING.
func (s *Source) Came() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.answered(clusters, s.opts.Now())
}
