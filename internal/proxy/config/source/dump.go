package source

import (
	"io"
	"slices"
	"strings"

	"github.com/pillion-mesh/pillion/internal/proxy/config/source/dump"
)

// Dump writes the answer of /config_dump. A *dump.Error comes before anything was written.
func (s *Source) Dump(w io.Writer, q dump.Query) error { return dump.Write(w, s.snapshot(), q) }

// snapshot is what there is now. It shares the resources' bytes, which nobody changes.
func (s *Source) snapshot() *dump.Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &dump.Config{
		Clusters: s.set(clusters), Endpoints: s.set(endpoints), Listeners: s.set(listeners),
		Extensions: s.set(extensions), Routes: s.set(routes), Secrets: s.set(secrets),
	}
	if b := s.opts.Bootstrap; b != nil {
		c.Bootstrap = &dump.Resource{Raw: b.Raw, Updated: s.began}
	}
	for name := range s.wanted[secrets] {
		if s.tables[secrets][name] == nil { // waited for
			c.Secrets.Dynamic = append(c.Secrets.Dynamic, dump.State{Name: name})
		}
	}
	for _, set := range []*dump.Set{&c.Clusters, &c.Endpoints, &c.Listeners, &c.Extensions, &c.Routes, &c.Secrets} {
		byName := func(a, b dump.State) int { return strings.Compare(a.Name, b.Name) }
		slices.SortFunc(set.Static, byName)
		slices.SortFunc(set.Dynamic, byName)
	}
	return c
}

func (s *Source) set(k kind) dump.Set {
	set := dump.Set{}
	if o := s.origins[s.placeOfAll(typeURLs[k])]; o != nil {
		set.Version = o.stats().Of(typeURLs[k]).Version()
	}
	for _, e := range s.tables[k] {
		if _, leaving := s.doomed[e]; leaving {
			continue
		}
		if state := e.state(); e.static() {
			set.Static = append(set.Static, state)
		} else {
			set.Dynamic = append(set.Dynamic, state)
		}
	}
	return set
}

func (e *entry) state() dump.State {
	s := dump.State{Name: e.name, Active: e.active.shown(e.kind), Warming: e.warming.shown(e.kind)}
	if r := e.refused; r != nil {
		s.Failure = &dump.Failure{Version: r.text, Reason: r.err.Error(), At: r.at}
		if e.kind == clusters && e.latest() == nil { // else its error would stand nowhere
			s.Warming = (&version{text: r.text, raw: r.raw, updated: r.at}).shown(e.kind)
		}
	}
	return s
}

func (v *version) shown(k kind) *dump.Resource {
	if v == nil {
		return nil
	}
	return &dump.Resource{Version: v.text, Type: typeURLs[k], Raw: v.raw, Updated: v.updated}
}
