package source

import (
	"io"
	"sort"

	"github.com/pillion-mesh/pillion/internal/proxy/config/source/dump"
)

// Dump writes the answer of /config_dump. A *dump.Error comes before anything was written.
func (s *Source) Dump(w io.Writer, q dump.Query) error { return dump.Write(w, s.snapshot(), q) }

// snapshot is what there is now. It shares the resources' bytes, which nobody changes.
func (s *Source) snapshot() *dump.Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	in := &inflater{}
	c := &dump.Config{
		Clusters: s.set(clusters, in), Endpoints: s.set(endpoints, in), Listeners: s.set(listeners, in),
		Extensions: s.set(extensions, in), Routes: s.set(routes, in), Secrets: s.set(secrets, in),
	}
	if b := s.opts.Bootstrap; b != nil {
		c.Bootstrap = &dump.Resource{Raw: func() []byte { return b.Raw }, Updated: s.began}
	}
	for name := range s.wanted[secrets] {
		if s.tables[secrets][name] == nil { // waited for
			c.Secrets.Dynamic = append(c.Secrets.Dynamic, dump.State{Name: name})
		}
	}
	for _, set := range []*dump.Set{&c.Clusters, &c.Endpoints, &c.Listeners, &c.Extensions, &c.Routes, &c.Secrets} {
		for _, list := range [][]dump.State{set.Static, set.Dynamic} {
			sort.Slice(list, func(i, j int) bool { return list[i].Name < list[j].Name })
		}
	}
	return c
}

func (s *Source) set(k kind, in *inflater) dump.Set {
	set := dump.Set{}
	if o := s.origins[s.placeOfAll(typeURLs[k])]; o != nil {
		set.Version = o.stats().Of(typeURLs[k]).Version()
	}
	for _, e := range s.tables[k] {
		if _, leaving := s.doomed[e]; leaving {
			continue
		}
		if state := e.state(in); e.static() {
			set.Static = append(set.Static, state)
		} else {
			set.Dynamic = append(set.Dynamic, state)
		}
	}
	return set
}

func (e *entry) state(in *inflater) dump.State {
	s := dump.State{Name: e.name, Active: e.active.shown(e.kind, in), Warming: e.warming.shown(e.kind, in)}
	if r := e.refused; r != nil {
		s.Failure = &dump.Failure{Version: r.text, Reason: r.err.Error(), At: r.at}
		if e.kind == clusters && e.latest() == nil { // else its error would stand nowhere
			s.Warming = (&version{text: r.text, raw: r.raw, updated: r.at}).shown(e.kind, in)
		}
	}
	return s
}

// shown copies a version: its bytes may be packed meanwhile.
func (v *version) shown(k kind, in *inflater) *dump.Resource {
	if v == nil {
		return nil
	}
	bytes := v.raw
	return &dump.Resource{Version: v.text, Type: typeURLs[k], Raw: func() []byte { return in.bytes(bytes) }, Updated: v.updated}
}
