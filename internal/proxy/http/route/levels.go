package route

import (
	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// opsByConfig are compiled operations by where they stand in the configuration. Empty ones aren't in it.
type opsByConfig map[*config.HeaderOps]*Ops

func (m opsByConfig) add(o *config.HeaderOps) {
	if !o.Empty() {
		m[o] = CompileOps(o)
	}
}

// RequestHeaders makes the header operations of all levels on x's request: weighted cluster, route, virtual host,
// table, or the other way round with most_specific_header_mutations_wins, so that the last word is the most specific's.
// x.VirtualHost, Route and Weighted are what this index chose.
func (i *Index) RequestHeaders(x *stream.Exchange) {
	levels := [4]*config.HeaderOps{3: &i.table.RequestHeaders}
	if x.Weighted != nil {
		levels[0] = &x.Weighted.RequestHeaders
	}
	if x.Route != nil {
		levels[1] = &x.Route.RequestHeaders
	}
	if x.VirtualHost != nil {
		levels[2] = &x.VirtualHost.RequestHeaders
	}
	for n := range levels {
		if o := i.compiled(levels[i.turn(n)], x.VirtualHost); o != nil {
			o.ApplyRequest(x)
		}
	}
}

// ResponseHeaders is RequestHeaders for x's response. Without a route nothing is done.
func (i *Index) ResponseHeaders(x *stream.Exchange) {
	if x.Route == nil || x.VirtualHost == nil {
		return
	}
	levels := [4]*config.HeaderOps{
		1: &x.Route.ResponseHeaders, 2: &x.VirtualHost.ResponseHeaders, 3: &i.table.ResponseHeaders,
	}
	if x.Weighted != nil {
		levels[0] = &x.Weighted.ResponseHeaders
	}
	for n := range levels {
		if o := i.compiled(levels[i.turn(n)], x.VirtualHost); o != nil {
			o.ApplyResponse(x)
		}
	}
}

func (i *Index) turn(n int) int {
	if i.table.MostSpecificWins {
		return 3 - n
	}
	return n
}

func (i *Index) compiled(o *config.HeaderOps, v *config.VirtualHost) *Ops {
	if o == nil || o.Empty() {
		return nil
	}
	if o == &i.table.RequestHeaders || o == &i.table.ResponseHeaders {
		return i.levels[o]
	}
	h := i.by[v]
	if h == nil {
		return nil
	}
	h.routes() // compiles
	return h.ops[o]
}
