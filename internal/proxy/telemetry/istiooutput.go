package telemetry

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// istioMetric is one of Istio's metrics: how to read it from a series.
type istioMetric struct {
	name    string // without istio_, as PluginConfig names it
	tcp     bool
	grpc    bool // only of gRPC requests
	counter func(*IstioSeries) uint64
	dist    func(*IstioSeries) distribution // instead of counter
}

var istioMetrics = [...]istioMetric{
	{name: "requests_total", counter: sumOf(func(s *istioShard) *Counter { return &s.requests })},
	{name: "request_duration_milliseconds", dist: distributionOf(func(s *istioShard) *Histogram { return &s.duration })},
	{name: "request_bytes", dist: distributionOf(func(s *istioShard) *Histogram { return &s.requestSize })},
	{name: "response_bytes", dist: distributionOf(func(s *istioShard) *Histogram { return &s.replySize })},
	{name: "request_messages_total", grpc: true, counter: sumOf(func(s *istioShard) *Counter { return &s.requestMessages })},
	{name: "response_messages_total", grpc: true, counter: sumOf(func(s *istioShard) *Counter { return &s.replyMessages })},
	{name: "tcp_sent_bytes_total", tcp: true, counter: func(s *IstioSeries) uint64 { return s.Sent.Load() }},
	{name: "tcp_received_bytes_total", tcp: true, counter: func(s *IstioSeries) uint64 { return s.Received.Load() }},
	{name: "tcp_connections_opened_total", tcp: true, counter: func(s *IstioSeries) uint64 { return s.Opened.Load() }},
	{name: "tcp_connections_closed_total", tcp: true, counter: func(s *IstioSeries) uint64 { return s.Closed.Load() }},
}

func sumOf(of func(*istioShard) *Counter) func(*IstioSeries) uint64 {
	return func(s *IstioSeries) (sum uint64) {
		s.shards.each(func(shard *istioShard) { sum += of(shard).Load() })
		return sum
	}
}

func distributionOf(of func(*istioShard) *Histogram) func(*IstioSeries) distribution {
	return func(s *IstioSeries) (d distribution) {
		s.shards.each(func(shard *istioShard) { d.add(of(shard)) })
		return d
	}
}

// has reports whether a series counts into the metric.
func (m *istioMetric) has(s *IstioSeries) bool {
	return m.tcp == (s.key.protocol == protocolTCP) && (!m.grpc || s.key.protocol == protocolGRPC) && !s.key.overrides.drops(m.name)
}

func (m *istioMetric) kind() kind {
	if m.dist != nil {
		return histogramKind
	}
	return counterKind
}

// all returns the series in a stable order.
func (s *istioSeries) all() []*IstioSeries {
	s.mu.RLock()
	list := slices.Collect(maps.Values(s.series))
	list = slices.AppendSeq(list, maps.Values(s.overflow))
	s.mu.RUnlock()
	texts := make(map[*IstioSeries]string, len(list))
	for _, series := range list {
		texts[series] = strings.Join(series.key.labels(""), "\x00")
	}
	slices.SortFunc(list, func(a, b *IstioSeries) int { return cmp.Compare(texts[a], texts[b]) })
	return list
}

func (s *istioSeries) reset() {
	for _, series := range s.all() {
		for _, c := range []*Counter{&series.Opened, &series.Closed, &series.Sent, &series.Received} {
			c.Store(0)
		}
		series.shards.each(func(shard *istioShard) {
			for _, c := range []*Counter{&shard.requests, &shard.requestMessages, &shard.replyMessages} {
				c.Store(0)
			}
		})
	}
}

// sum is what the series with the same labels hold together: a metric whose labels were taken away by overrides has
// several series for one line.
type sum struct {
	labels string
	value  uint64
	dist   distribution
}

func (s *istioSeries) write(o *promWriter, q *selection) {
	all := s.all()
	for i := range istioMetrics {
		m := &istioMetrics[i]
		if !q.takesKind(m.kind()) || q.byName() && !q.takesIstioName("istiocustom.istio_"+m.name) {
			continue
		}
		o.lazyFamily("istio_"+m.name, m.kind())
		for _, line := range m.sums(all) {
			switch {
			case m.dist == nil:
				o.sample("istio_"+m.name, line.labels, int64(line.value))
			case line.dist.count() > 0:
				o.histogram(q, "istio_"+m.name, line.labels, &line.dist)
			}
		}
	}
}

func (m *istioMetric) sums(all []*IstioSeries) (list []*sum) {
	found := map[string]*sum{}
	for _, series := range all {
		if !m.has(series) {
			continue
		}
		labels := pairsText(series.key.labels(m.name)...)
		line := found[labels]
		if line == nil {
			line = &sum{labels: labels}
			found[labels] = line
			list = append(list, line)
		}
		m.addTo(line, series)
	}
	return list
}

func (m *istioMetric) addTo(line *sum, series *IstioSeries) {
	if m.dist == nil {
		line.value += m.counter(series)
		return
	}
	d := m.dist(series)
	for i := range d.buckets {
		line.dist.buckets[i] += d.buckets[i]
	}
	line.dist.sum += d.sum
}

// segments are the series for /stats.
func (s *istioSeries) segments() (list []segment) {
	for _, series := range s.all() {
		list = append(list, segment{series: series})
	}
	return list
}

func (s *IstioSeries) lines(q *selection, histograms bool, yield func(line)) {
	for i := range istioMetrics {
		m := &istioMetrics[i]
		if !m.has(s) || (m.dist != nil) != histograms || !q.takesKind(m.kind()) {
			continue
		}
		l := line{name: "istiocustom.istio_" + m.name + "." + strings.Join(s.key.labels(m.name), "."), kind: m.kind()}
		if q.byName() && !q.takesIstioName(l.name) {
			continue
		}
		if histograms {
			d := m.dist(s)
			l.dist = &d
		} else {
			l.value = int64(m.counter(s))
		}
		if !q.UsedOnly || l.value != 0 || l.dist != nil && l.dist.count() > 0 {
			yield(l)
		}
	}
}
