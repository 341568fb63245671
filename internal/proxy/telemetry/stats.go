package telemetry

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// line is one statistic on its way out.
type line struct {
	name  string
	kind  kind
	value int64
	text  string
	dist  *distribution
}

// lines calls yield for each statistic that is wanted, in the order /stats has: by name, histograms last.
func (s *Store) lines(p Process, query Query, yield func(line)) {
	s.refresh()
	q := s.selection(query)
	segments := s.segments(&q, p)
	for _, histograms := range []bool{false, true} {
		for _, segment := range segments {
			segment.lines(&q, histograms, yield)
		}
	}
}

// segment is one object, or a statistic with a name of its own.
type segment struct {
	name   string
	view   *view
	named  named
	series *IstioSeries
}

func (s *Store) segments(q *selection, p Process) (list []segment) {
	for _, c := range classes {
		views := s.views(c)
		for i := range views {
			if c != serverClass {
				list = append(list, segment{name: views[i].full(""), view: &views[i]})
			}
		}
	}
	for _, n := range slices.Concat(s.process(p), s.server(), s.named()) {
		if q.takesNamed(&n) {
			list = append(list, segment{name: n.name, named: n})
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i].name < list[j].name })
	return append(list, s.istio.segments()...)
}

// server are the process's counters, whose names are whole already.
func (s *Store) server() (list []named) {
	for _, v := range s.views(serverClass) {
		for i := range v.class.places {
			p := &v.class.places[i]
			list = append(list, named{name: p.name, kind: p.kind, value: v.value(p)})
		}
	}
	return list
}

func (g *segment) lines(q *selection, histograms bool, yield func(line)) {
	switch {
	case g.view != nil:
		g.view.lines(q, histograms, yield)
	case g.series != nil:
		g.series.lines(q, histograms, yield)
	case histograms == (g.named.kind == histogramKind):
		yield(line{name: g.named.name, kind: g.named.kind, value: g.named.value, text: g.named.text, dist: g.named.dist})
	}
}

func (v *view) lines(q *selection, histograms bool, yield func(line)) {
	blocks := v.usedBlocks()
	for i := range v.class.places {
		p := &v.class.places[i]
		if (p.kind == histogramKind) != histograms || !q.takes(v, p, blocks) {
			continue
		}
		l := line{name: v.full(p.name), kind: p.kind}
		if histograms {
			d := v.distribution(p)
			l.dist = &d
		} else {
			l.value = v.value(p)
		}
		yield(l)
	}
	if !histograms && q.takesKind(counterKind) {
		v.codeLines(q, yield)
	}
}

func (v *view) codeLines(q *selection, yield func(line)) {
	for _, c := range v.codes {
		name := v.full("upstream_rq_" + strconv.Itoa(c.status))
		if !q.byName() || q.takesName(name) {
			yield(line{name: name, value: int64(c.count)})
		}
	}
}

// WriteText writes statistics as /stats does: a line each, "name: value".
func (s *Store) WriteText(w io.Writer, p Process, q Query) error {
	out := bufio.NewWriter(w)
	s.lines(p, q, func(l line) {
		if l.kind == histogramKind && q.Buckets == BucketsDetailed {
			writeDetailed(out, &l)
			return
		}
		fmt.Fprintf(out, "%s: %s\n", l.name, l.valueText(q.Buckets))
	})
	return out.Flush()
}

func (l *line) valueText(b Buckets) string {
	switch {
	case l.kind == textKind:
		return strconv.Quote(l.text)
	case l.kind != histogramKind:
		return strconv.FormatInt(l.value, 10)
	case l.dist.count() == 0:
		return "No recorded values"
	case b == BucketsCumulative || b == BucketsDisjoint:
		return l.dist.bucketText(b)
	default:
		return l.dist.quantileText()
	}
}

// quantileText is "P0(nan,1) …": of the last interval, which isn't kept, and of all time.
func (d *distribution) quantileText() string {
	parts := make([]string, len(quantiles))
	for i, q := range quantiles {
		parts[i] = "P" + short(q*100) + "(nan," + short(d.quantile(q)) + ")"
	}
	return strings.Join(parts, " ")
}

// bucketText is "B0.5(0,3) …": of the last interval, which isn't kept, and of all time.
func (d *distribution) bucketText(b Buckets) string {
	var parts []string
	for i, n := range d.told(b) {
		if i < len(bounds) {
			parts = append(parts, "B"+boundText(i)+"(0,"+strconv.FormatUint(n, 10)+")")
		}
	}
	return strings.Join(parts, " ")
}

// told are the buckets' numbers: each with all below it, or alone.
func (d *distribution) told(b Buckets) []uint64 {
	list, total := make([]uint64, len(d.buckets)), uint64(0)
	for i, n := range d.buckets {
		total += n
		list[i] = total
		if b == BucketsDisjoint {
			list[i] = n
		}
	}
	return list
}

// short writes a number with at most three digits behind the point.
func short(f float64) string {
	return strconv.FormatFloat(math.Round(f*1000)/1000, 'f', -1, 64)
}

func writeDetailed(out *bufio.Writer, l *line) {
	if l.dist.count() == 0 {
		fmt.Fprintf(out, "%s: No recorded values\n", l.name)
		return
	}
	var totals []string
	for i, n := range l.dist.buckets {
		if n > 0 {
			low, high := bucketEnds(i)
			totals = append(totals, fmt.Sprintf("%s,%s:%d", short(low), short(high-low), n))
		}
	}
	fmt.Fprintf(out, "%s:\n  totals=%s\n  intervals=\n  summary=%s\n", l.name, strings.Join(totals, ", "), l.dist.quantileText())
}
