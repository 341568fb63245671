package telemetry

import (
	"cmp"
	"reflect"
	"slices"
	"sort"
	"strings"
	"unsafe"
)

// class is one kind of object: where its statistics are and how they are called.
type class struct {
	prefix string // of names, with its dot
	label  string // that holds the object's name in Prometheus
	family string // of names in Prometheus
	places []place
}

// The classes there are.
var (
	clusterClass  = newClass("cluster.", "cluster_name", "envoy_cluster_", reflect.TypeFor[Cluster](), reflect.TypeFor[ClusterShard]())
	httpClass     = newClass("http.", "http_conn_manager_prefix", "envoy_http_", reflect.TypeFor[HTTP](), reflect.TypeFor[HTTPShard]())
	listenerClass = newClass("listener.", "listener_address", "envoy_listener_", reflect.TypeFor[Listener](), nil)
	tcpClass      = newClass("tcp.", "tcp_prefix", "envoy_tcp_", reflect.TypeFor[TCPPrefix](), nil)
	serverClass   = newClass("", "", "envoy_", reflect.TypeFor[Server](), nil)
)

func newClass(prefix, label, family string, object, shard reflect.Type) *class {
	c := &class{prefix: prefix, label: label, family: family, places: placesOf(object, false)}
	if shard != nil {
		c.places = append(c.places, placesOf(shard, true)...)
	}
	sort.Slice(c.places, func(i, j int) bool { return c.places[i].name < c.places[j].name })
	return c
}

// view is one object, ready to be read.
type view struct {
	class  *class
	name   string
	object unsafe.Pointer
	shards []unsafe.Pointer
	codes  []codeCount
}

type codeCount struct {
	status int
	count  uint64
}

// views returns all objects of a class, in order of their names.
func (s *Store) views(c *class) []view {
	switch c {
	case clusterClass:
		return viewsOf(s, c, s.clusters, func(v *view, o *Cluster) { v.setShards(o.shards.pointers(), o.answers()) })
	case httpClass:
		return viewsOf(s, c, s.https, func(v *view, o *HTTP) { v.setShards(o.shards.pointers(), nil) })
	case listenerClass:
		return viewsOf(s, c, s.listeners, nil)
	case tcpClass:
		return viewsOf(s, c, s.prefixes, nil)
	default:
		return []view{{class: c, object: unsafe.Pointer(&s.Server)}}
	}
}

func viewsOf[T any](s *Store, c *class, in map[string]*T, fill func(*view, *T)) []view {
	names, objects := snapshot(s, in, cmp.Compare[string])
	list := make([]view, len(names))
	for i, name := range names {
		list[i] = view{class: c, name: name, object: unsafe.Pointer(objects[i])}
		if fill != nil {
			fill(&list[i], objects[i])
		}
	}
	return list
}

func (v *view) setShards(shards []unsafe.Pointer, answers []*responses) {
	v.shards = shards
	counts := map[int]uint64{}
	for _, r := range answers {
		r.eachCode(func(status int, c *Counter) { counts[status] += c.Load() })
	}
	for status, count := range counts {
		v.codes = append(v.codes, codeCount{status, count})
	}
	sort.Slice(v.codes, func(i, j int) bool { return v.codes[i].status < v.codes[j].status })
}

func (s shards[T]) pointers() (list []unsafe.Pointer) {
	s.each(func(shard *T) { list = append(list, unsafe.Pointer(shard)) })
	return list
}

func (c *Cluster) answers() (list []*responses) {
	c.shards.each(func(s *ClusterShard) { list = append(list, &s.answers) })
	return list
}

// full is a statistic's whole name below the object's.
func (v *view) full(name string) string {
	if v.name == "" {
		return v.class.prefix + name
	}
	return v.class.prefix + v.name + "." + name
}

// label is the object's name as a label. Newer control planes end stat names by a semicolon, which isn't part of it.
func (v *view) label() string { return strings.TrimSuffix(v.name, ";") }

// bases are the structs a place has values in.
func (v *view) bases(p *place) []unsafe.Pointer {
	if p.inShard {
		return v.shards
	}
	return unsafe.Slice(&v.object, 1)
}

func (v *view) value(p *place) (sum int64) {
	for _, base := range v.bases(p) {
		sum += p.value(base)
	}
	return sum
}

func (v *view) distribution(p *place) (d distribution) {
	for _, base := range v.bases(p) {
		d.add(p.histogram(base))
	}
	return d
}

// used reports whether anything was ever counted here.
func (v *view) used(p *place) bool {
	if p.kind == histogramKind {
		d := v.distribution(p)
		return d.count() > 0
	}
	return v.value(p) != 0
}

// usedBlocks are the optional blocks that were used.
func (v *view) usedBlocks() (blocks []string) {
	for i := range v.class.places {
		p := &v.class.places[i]
		if p.optional() && !slices.Contains(blocks, p.block) && v.used(p) {
			blocks = append(blocks, p.block)
		}
	}
	return blocks
}

// reset sets the counters to zero, gauges and histograms stay: Envoy's /reset_counters does that.
func (v *view) reset() {
	for i := range v.class.places {
		p := &v.class.places[i]
		if p.kind != counterKind {
			continue
		}
		for _, base := range v.bases(p) {
			p.counter(base).Store(0)
		}
	}
}

// classes are all classes, in the order of their names.
var classes = [...]*class{clusterClass, httpClass, listenerClass, tcpClass, serverClass}

// ResetCounters sets all counters to zero.
func (s *Store) ResetCounters() {
	for _, c := range classes {
		for _, v := range s.views(c) {
			v.reset()
		}
	}
	s.resetNamed()
	s.istio.reset()
}

func (s *Store) resetNamed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.counters {
		c.Store(0)
	}
	for _, c := range s.clusters {
		c.resetNamed()
		for _, answers := range c.answers() {
			answers.eachCode(func(_ int, c *Counter) { c.Store(0) })
		}
	}
}
