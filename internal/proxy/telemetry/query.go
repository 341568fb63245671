package telemetry

import (
	"regexp"
	"runtime"
	"runtime/metrics"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// Query says which statistics are wanted.
type Query struct {
	UsedOnly     bool           // without those that are zero
	Filter       *regexp.Regexp // of whole names, matching any part; nil: all
	Type         Type
	TextReadouts bool    // Prometheus: text readouts too, as gauges with the text in a label
	Buckets      Buckets // how histograms are told
}

// Type narrows a Query to one kind of statistics.
type Type uint8

// The types of /stats?type=.
const (
	AllTypes Type = iota
	Counters
	Gauges
	Histograms
	TextReadouts
)

// Buckets is how histograms are told.
type Buckets uint8

// The values of histogram_buckets. Summary is quantiles.
const (
	BucketsDefault Buckets = iota
	BucketsCumulative
	BucketsDisjoint
	BucketsDetailed
	BucketsSummary
)

// Matcher is the bootstrap's stats_matcher: what has no place in any output.
type Matcher struct {
	Include []config.StringMatch // with any: only these
	Exclude []config.StringMatch
	None    bool // reject_all
}

// SetMatcher sets the stats_matcher; nil takes all.
func (s *Store) SetMatcher(m *Matcher) { s.matcher.Store(m) }

func (m *Matcher) takes(name string) bool {
	switch {
	case m == nil:
		return true
	case m.None:
		return false
	case len(m.Include) > 0:
		return anyMatch(m.Include, name)
	default:
		return !anyMatch(m.Exclude, name)
	}
}

// takesIstio is takes for Istio's metrics. An inclusion list doesn't leave them out: those lists name Istio's metrics by
// what is a label here.
func (m *Matcher) takesIstio(name string) bool {
	return m == nil || !m.None && !anyMatch(m.Exclude, name)
}

// SetTags sets the bootstrap's stats_tags of fixed values, which each sample for Prometheus has: names and values in
// turn. It is called before anything is told.
func (s *Store) SetTags(pairs ...string) { s.tags = pairsText(pairs...) }

func anyMatch(matches []config.StringMatch, name string) bool {
	for i := range matches {
		if matches[i].Match(name) {
			return true
		}
	}
	return false
}

// selection is a query against a store's matcher.
type selection struct {
	Query
	matcher *Matcher
}

func (s *Store) selection(q Query) selection { return selection{q, s.matcher.Load()} }

// byName reports whether names matter at all; usually they don't, and none is made.
func (q *selection) byName() bool { return q.Filter != nil || q.matcher != nil }

func (q *selection) takesName(name string) bool {
	return q.matcher.takes(name) && (q.Filter == nil || q.Filter.MatchString(name))
}

func (q *selection) takesIstioName(name string) bool {
	return q.matcher.takesIstio(name) && (q.Filter == nil || q.Filter.MatchString(name))
}

func (q *selection) takesKind(k kind) bool {
	return q.Type == AllTypes || q.Type == map[kind]Type{counterKind: Counters, gaugeKind: Gauges, histogramKind: Histograms, textKind: TextReadouts}[k]
}

// takes reports whether a place of a view is wanted.
func (q *selection) takes(v *view, p *place, blocks []string) bool {
	if !q.takesKind(p.kind) || p.optional() && !contains(blocks, p.block) {
		return false
	}
	return (!q.UsedOnly && !p.lazy() || v.used(p)) && (!q.byName() || q.takesName(v.full(p.name)))
}

func contains(list []string, name string) bool {
	for _, each := range list {
		if each == name {
			return true
		}
	}
	return false
}

// State of the process, as Envoy numbers it.
const (
	Live = iota
	Draining
	PreInitializing
	Initializing
)

// Process is what is known of the process when it is asked.
type Process struct {
	State  int // Live, Draining, PreInitializing, Initializing
	Uptime time.Duration
	// CertDays is when the first certificate expires, in days; nil: there is none.
	CertDays *int64
}

// noCert is what Envoy says if there is no certificate.
const noCert = 1<<32 - 1

// named is a statistic with a whole name of its own.
type named struct {
	name  string
	kind  kind
	value int64
	text  string
	dist  *distribution
	// family and labels are those of Prometheus; empty: they are found by the name.
	family, labels string
}

// process returns the statistics of the process.
func (s *Store) process(p Process) []named {
	heap, mapped := memory()
	live, days := int64(0), int64(noCert)
	if p.State == Live {
		live = 1
	}
	if p.CertDays != nil {
		days = *p.CertDays
	}
	return []named{
		{name: "server.state", kind: gaugeKind, value: int64(p.State)},
		{name: "server.live", kind: gaugeKind, value: live},
		{name: "server.uptime", kind: gaugeKind, value: int64(p.Uptime / time.Second)},
		{name: "server.concurrency", kind: gaugeKind, value: int64(runtime.GOMAXPROCS(0))},
		{name: "server.memory_allocated", kind: gaugeKind, value: heap},
		{name: "server.memory_heap_size", kind: gaugeKind, value: mapped},
		{name: "server.hot_restart_epoch", kind: gaugeKind, value: int64(s.Epoch)},
		{name: "server.days_until_first_cert_expiring", kind: gaugeKind, value: days},
	}
}

// named returns the statistics with names of their own.
func (s *Store) named() (list []named) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, c := range s.counters {
		list = append(list, named{name: name, value: int64(c.Load())})
	}
	for name, g := range s.gauges {
		list = append(list, named{name: name, kind: gaugeKind, value: g.Load()})
	}
	for name, t := range s.texts {
		list = append(list, named{name: name, kind: textKind, text: *t.Load()})
	}
	for _, c := range s.clusters {
		list = append(list, c.named()...)
	}
	return list
}

func (q *selection) takesNamed(n *named) bool {
	return q.takesKind(n.kind) && (!q.UsedOnly || n.value != 0 || n.text != "" || n.dist != nil) && (!q.byName() || q.takesName(n.name))
}

// memory returns bytes of live heap objects and of memory the Go runtime holds. runtime/metrics doesn't stop the
// world, as runtime.ReadMemStats would.
func memory() (heap, mapped int64) {
	samples := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	return int64(samples[0].Value.Uint64()), int64(samples[1].Value.Uint64() - samples[2].Value.Uint64())
}
