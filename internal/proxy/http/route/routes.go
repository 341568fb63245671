package route

import (
	"slices"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// fewRoutes is up to where looking at one after the other is as quick as an index.
const fewRoutes = 6

// routes finds the first route that matches. Routes are kept by what their path must be or begin with; those that may
// take any path are in rest. Lists hold positions in all, ascending.
type routes struct {
	all      []*config.Route
	exact    map[string][]int32
	prefixes map[string][]int32
	lengths  []int // of prefixes
	rest     []int32
}

func newRoutes(all []*config.Route) routes {
	r := routes{all: all}
	if len(all) <= fewRoutes {
		return r
	}
	r.exact, r.prefixes = map[string][]int32{}, map[string][]int32{}
	for i, route := range all {
		r.add(int32(i), &route.Match)
	}
	slices.Sort(r.lengths)
	return r
}

func (r *routes) add(i int32, m *config.RouteMatch) {
	switch {
	case m.Kind == config.PathExact && !m.IgnoreCase:
		r.exact[m.Path] = append(r.exact[m.Path], i)
	case (m.Kind == config.PathPrefix || m.Kind == config.PathSeparatedPrefix) && !m.IgnoreCase:
		r.prefixes[m.Path] = append(r.prefixes[m.Path], i)
		if !slices.Contains(r.lengths, len(m.Path)) {
			r.lengths = append(r.lengths, len(m.Path))
		}
	default:
		r.rest = append(r.rest, i)
	}
}

func (r *routes) find(x *stream.Exchange, chance uint64, runtime Runtime, tr *stream.Trace) *config.Route {
	q := newQuestion(x, chance, runtime)
	if tr.On() || r.exact == nil {
		return r.scan(&q, tr)
	}
	best := int32(len(r.all))
	best = r.first(r.exact[q.path], best, &q)
	for _, n := range r.lengths {
		if n > len(q.path) {
			break
		}
		best = r.first(r.prefixes[q.path[:n]], best, &q)
	}
	best = r.first(r.rest, best, &q)
	if int(best) == len(r.all) {
		return nil
	}
	return r.all[best]
}

// first returns the first of the list that matches and comes before best, else best.
func (r *routes) first(list []int32, best int32, q *question) int32 {
	for _, i := range list {
		if i >= best {
			break
		}
		if q.misses(&r.all[i].Match).why == nothing {
			return i
		}
	}
	return best
}

// scan asks one route after the other, which is also how a trace wants it.
func (r *routes) scan(q *question, tr *stream.Trace) *config.Route {
	for i, route := range r.all {
		miss := q.misses(&route.Match)
		if tr.On() {
			tr.Note("route", "%s: %s", nameOf(route, i), miss.text(&route.Match))
		}
		if miss.why == nothing {
			return route
		}
	}
	if tr.On() {
		tr.Note("route", "none of %d matches", len(r.all))
	}
	return nil
}
