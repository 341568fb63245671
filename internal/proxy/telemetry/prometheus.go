package telemetry

import (
	"cmp"
	"io"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// Prometheus writes metrics in Prometheus's text format, some at a time. Names and labels are the ones users of Envoy
// and Istio have in their dashboards.
func (s *Store) Prometheus(w io.Writer, p Process, query Query) error {
	s.refresh()
	q, out := s.selection(query), newPromWriter(w, s.tags)
	s.writeNamed(out, &q, append(s.process(p), s.named()...))
	for _, c := range [...]*class{serverClass, listenerClass, httpClass, clusterClass, tcpClass} {
		out.writeClass(&q, c, s.views(c))
	}
	s.istio.write(out, &q)
	out.family("istio_build", gaugeKind)
	out.sample("istio_build", pairsText("component", "proxy", "tag", s.Labels.Build), 1)
	return out.flush()
}

// member is a place, or all response codes, within a family.
type member struct {
	place *place // nil: the codes
	tags  string // label text before the object's, with its comma
}

// family is one metric of a class.
type family struct {
	name    string
	kind    kind
	members []member
}

// families groups a class's places by what Prometheus calls them.
func (c *class) families() []family {
	var list []family
	find := map[string]int{}
	add := func(name string, k kind, m member) {
		i, ok := find[name]
		if !ok {
			i = len(list)
			find[name] = i
			list = append(list, family{name: name, kind: k})
		}
		list[i].members = append(list[i].members, m)
	}
	for i := range c.places {
		p := &c.places[i]
		name, tags := c.tagged(p.name)
		add(name, p.kind, member{p, tags})
	}
	if c == clusterClass {
		add(c.family+"upstream_rq", counterKind, member{})
	}
	sort.SliceStable(list, func(i, j int) bool { return list[i].kind < list[j].kind })
	return list
}

// tagged returns a statistic's name in Prometheus and the labels made of its parts, as the tags of Istio's bootstrap
// make them.
func (c *class) tagged(name string) (family, tags string) {
	name, tags = takeTags(name)
	return c.family + sanitize(name), tags
}

func takeTags(name string) (rest, tags string) {
	if before, ok := strings.CutSuffix(name, "xx"); ok && strings.Contains(before, "_rq_") {
		at := strings.LastIndex(name, "_rq_") + len("_rq")
		return name[:at], `response_code_class="` + name[at+1:] + `",`
	}
	for _, result := range [...]string{"allowed", "denied"} {
		if before, ok := strings.CutSuffix(name, "rbac."+result); ok {
			return before + "rbac", `authz_enforce_result="` + result + `",`
		}
		if before, ok := strings.CutSuffix(name, "rbac.shadow_"+result); ok {
			return before + "rbac_shadow", `authz_dry_run_result="` + result + `",`
		}
	}
	return name, ""
}

func sanitize(name string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '_'
	}, name)
}

// writeClass writes all families of a class.
func (o *promWriter) writeClass(q *selection, c *class, views []view) {
	labels, blocks := make([]string, len(views)), make([][]string, len(views))
	for i := range views {
		if c.label != "" {
			labels[i] = pairsText(c.label, views[i].label())
		}
		blocks[i] = views[i].usedBlocks()
	}
	for _, f := range c.families() {
		o.lazyFamily(f.name, f.kind)
		for i := range views {
			for _, m := range f.members {
				o.member(q, &f, m, &views[i], labels[i], blocks[i])
			}
		}
	}
}

func (o *promWriter) member(q *selection, f *family, m member, v *view, labels string, blocks []string) {
	switch {
	case m.place == nil:
		o.codes(q, f, v, labels)
	case !q.takes(v, m.place, blocks):
	case f.kind == histogramKind:
		if d := v.distribution(m.place); d.count() > 0 { // empty ones would be half of the text
			o.histogram(q, f.name, labels, &d)
		}
	default:
		o.tagged(f.name, m.tags, labels, v.value(m.place))
	}
}

func (o *promWriter) codes(q *selection, f *family, v *view, labels string) {
	if !q.takesKind(counterKind) {
		return
	}
	for _, c := range v.codes {
		code := strconv.Itoa(c.status)
		if !q.byName() || q.takesName(v.full("upstream_rq_"+code)) {
			o.tagged(f.name, `response_code="`+code+`",`, labels, int64(c.count))
		}
	}
}

// writeNamed writes statistics with names of their own: text readouts only if they're asked for.
func (s *Store) writeNamed(o *promWriter, q *selection, all []named) {
	type line struct {
		family, labels string
		named
	}
	var lines []line
	for _, n := range all {
		if !q.takesNamed(&n) || n.kind == textKind && !q.TextReadouts {
			continue
		}
		family, labels := n.family, n.labels
		if family == "" {
			family, labels = s.namedLabels(n.name)
		}
		if n.kind == textKind {
			labels, n.kind = joinLabels(pairsText("text_value", n.text), labels), gaugeKind
		}
		lines = append(lines, line{family, labels, n})
	}
	slices.SortFunc(lines, func(a, b line) int {
		return cmp.Or(cmp.Compare(a.family, b.family), cmp.Compare(a.labels, b.labels))
	})
	for i := range lines {
		if i == 0 || lines[i-1].family != lines[i].family {
			o.family(lines[i].family, lines[i].kind)
		}
		if lines[i].kind == histogramKind {
			o.histogram(q, lines[i].family, lines[i].labels, lines[i].dist)
			continue
		}
		o.sample(lines[i].family, lines[i].labels, lines[i].value)
	}
}

// namedLabels finds the stat prefix of a connection manager in a whole name: the rest is the metric, the prefix a label.
func (s *Store) namedLabels(name string) (family, labels string) {
	rest, ok := strings.CutPrefix(name, httpClass.prefix)
	if ok {
		s.mu.Lock()
		defer s.mu.Unlock()
		for prefix := range s.https {
			if below, ok := strings.CutPrefix(rest, prefix+"."); ok {
				return httpClass.family + sanitize(below), pairsText(httpClass.label, strings.TrimSuffix(prefix, ";"))
			}
		}
	}
	return "envoy_" + sanitize(name), ""
}

func joinLabels(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "," + b
}
