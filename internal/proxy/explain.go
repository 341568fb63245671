package proxy

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/netip"

	"github.com/pillion-mesh/pillion/internal/proxy/admin"
	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/http/route"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter"
	"github.com/pillion-mesh/pillion/internal/proxy/listener"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
	"github.com/pillion-mesh/pillion/internal/proxy/upstream"
)

// Explain says what would happen to a connection or request, a line a step, by the code that traffic runs. Of filters
// only rbac is asked: the others count, wait or call somebody.
func (s *Server) Explain(w io.Writer, q admin.Question) error {
	e := &explanation{server: s, question: q}
	e.connection()
	if q.JSON {
		return json.NewEncoder(w).Encode(e.told())
	}
	for i, step := range e.trace.Steps {
		if _, err := fmt.Fprintf(w, "%2d %-12s %s\n", i+1, step.What, step.Reason); err != nil {
			return err
		}
	}
	return nil
}

type explanation struct {
	server   *Server
	question admin.Question
	trace    stream.Trace
	conn     *stream.Conn
}

// told is the explanation as JSON.
func (e *explanation) told() any {
	type step struct {
		What   string `json:"what"`
		Reason string `json:"reason"`
	}
	steps := []step{}
	for _, s := range e.trace.Steps {
		steps = append(steps, step(s))
	}
	return map[string]any{"steps": steps}
}

// end is the last step: what becomes of it.
func (e *explanation) end(format string, args ...any) { e.trace.Note("end", format, args...) }

func (e *explanation) connection() {
	q := &e.question
	name := config.VirtualOutbound
	if q.Direction == config.Inbound {
		name = config.VirtualInbound
	}
	facts := listener.Facts{Destination: q.Dst, Source: q.Src, DirectSource: q.Src.Addr(), ServerName: q.SNI, Transport: listener.TransportRaw, Protocols: q.ALPN}
	secure := q.Principal != "" || q.SNI != ""
	switch {
	case secure:
		facts.Transport = listener.TransportTLS
	case len(q.ALPN) == 0 && e.isHTTP():
		facts.Protocols = []string{"http/1.1"}
	}
	l, chain := e.server.acceptor.Table().Choose(name, &facts, &e.trace)
	if l == nil || chain == nil {
		e.end("closed: no filter chain takes it (NR)")
		return
	}
	e.conn = &stream.Conn{Remote: q.Src, Local: q.Dst, Direction: q.Direction, Listener: l, Chain: chain, SNI: q.SNI, ALPN: q.ALPN}
	if secure {
		e.conn.TLS = &stream.TLS{ServerName: q.SNI, Mutual: q.Principal != ""}
	}
	if q.Principal != "" {
		e.conn.TLS.PeerURISANs = []string{q.Principal}
	}
	if chain.HTTP != nil {
		e.request(chain.HTTP)
		return
	}
	e.bytes(chain.TCP)
}

// isHTTP: who names a part of a request asks about one.
func (e *explanation) isHTTP() bool {
	q := &e.question
	return q.Method != "" || q.Host != "" || q.Path != "" || len(q.Headers) > 0
}

func (e *explanation) bytes(t *config.TCPProxy) {
	for _, c := range t.Clusters {
		if len(t.Clusters) > 1 {
			e.trace.Note("cluster", "%s by weight, %d of %d", c.Name, c.Weight, t.TotalWeight)
		}
		e.host(c.Name, &upstream.Choice{OriginalDst: e.question.Dst, Client: e.question.Src, Subset: c.SubsetMatch})
	}
}

func (e *explanation) request(m *config.HTTPManager) {
	table := m.Routes.Load()
	if table == nil {
		e.end("404 NR: the routes %q haven't come yet", m.RouteName)
		return
	}
	x := e.exchange(m)
	chance := rand.Uint64()
	x.Table = table
	x.VirtualHost, x.Route = route.NewIndex(table).Match(x, chance, &e.trace)
	switch r := x.Route; {
	case r == nil:
		e.end("404 NR route_not_found")
	case e.denied(m, x):
	case r.Redirect != nil:
		e.end("%d, to %s", r.Redirect.Code, route.Location(r.Redirect, &r.Match, x))
	case r.Direct != nil:
		e.end("%d, answered here", r.Direct.Status)
	default:
		name, weighted := route.Choose(r.Forward, x, chance, &e.trace)
		subset := r.Forward.SubsetMatch
		if weighted != nil {
			subset = weighted.SubsetMatch
		}
		hashed := route.Hash(x, r.Forward.Hash)
		e.host(name, &upstream.Choice{Hash: hashed.Value, Hashed: hashed.Any, OriginalDst: e.question.Dst, Client: e.question.Src, Name: x.Request.Authority, Subset: subset, HighPriority: r.Forward.HighPriority})
	}
}

func (e *explanation) exchange(m *config.HTTPManager) *stream.Exchange {
	q, x := &e.question, &stream.Exchange{}
	x.Reset(e.conn, e.server.opts.Now())
	x.Protocol = stream.HTTP11
	x.Request.Method, x.Request.Scheme = cmp.Or(q.Method, http.MethodGet), "http"
	x.Request.Authority, x.Request.Path = cmp.Or(q.Host, q.Dst.String()), cmp.Or(q.Path, "/")
	for _, h := range q.Headers {
		x.Request.Fields.Add(h[0], h[1])
	}
	if path, verdict := route.NormalizePath(m, x.Request.Path); verdict == route.PathFine {
		x.Request.Path = path
	}
	return x
}

// denied asks the access rules.
func (e *explanation) denied(m *config.HTTPManager, x *stream.Exchange) bool {
	rules := *m
	rules.Filters = nil
	for _, f := range m.Filters {
		if _, is := f.Config.(*config.RBAC); is {
			rules.Filters = append(rules.Filters, f)
		}
	}
	chain, err := httpfilter.Compile(&rules, httpfilter.Deps{Now: e.server.opts.Now})
	if err != nil {
		e.trace.Note("filter", "rules can't be asked: %v", err)
		return false
	}
	reply := chain.Request(context.Background(), x, &e.trace)
	if reply == nil {
		return false
	}
	e.end("%d %s", reply.Status, reply.Details)
	return true
}

// host asks the balancer, as one request would.
func (e *explanation) host(name string, choice *upstream.Choice) {
	cluster := e.server.upstream.Cluster(name)
	if cluster == nil {
		e.end("NC: there is no cluster %q", name)
		return
	}
	host, err := cluster.Pick(choice, &e.trace)
	if err != nil {
		e.end("%s: %v", name, err)
		return
	}
	e.end("to %s of %s%s", host, name, sourceOf(cluster.Config(), choice.OriginalDst.Addr()))
}

// sourceOf says from which address a cluster's hosts are called, if that is fixed.
func sourceOf(c *config.Cluster, to netip.Addr) string {
	if from := c.Source(to); from.IsValid() {
		return ", from " + from.String()
	}
	return ""
}
