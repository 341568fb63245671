package source

// want is where a named resource comes from, and of an extension what it may be.
type want struct {
	place place
	types []string // type URLs; empty: any
}

// follow finds out what clusters, listeners and filters name now, forgets what nothing names any more, and tells the
// origins what is wanted of them.
func (s *Source) follow() {
	s.stale = false
	for k := range s.wanted {
		s.wanted[k] = make(map[string]want, len(s.wanted[k]))
	}
	for _, k := range []kind{clusters, listeners} {
		for _, e := range s.tables[k] {
			s.name(e)
		}
	}
	s.followExtensions()
	s.forget()
	s.subscribe()
}

// followExtensions follows what wanted filters name in turn, which may be filters again.
func (s *Source) followExtensions() {
	for seen := -1; seen != len(s.wanted[extensions]); {
		seen = len(s.wanted[extensions])
		for name := range s.wanted[extensions] {
			if e := s.tables[extensions][name]; e != nil {
				s.name(e)
			}
		}
	}
}

// name notes what an entry's versions name.
func (s *Source) name(e *entry) {
	for _, v := range [...]*version{e.active, e.warming} {
		if v == nil {
			continue
		}
		for _, n := range v.needs {
			s.wanted[n.kind][n.name] = want{placeOf(n.from.Value(), e.from), n.types}
		}
	}
}

// forget drops what nothing names.
func (s *Source) forget() {
	for _, k := range []kind{endpoints, routes, secrets, extensions} {
		for name, e := range s.tables[k] {
			if !e.static() && !s.asked(k, name) {
				delete(s.tables[k], name)
			}
		}
	}
	s.cells.forget(func(k kind, name string) bool { return s.asked(k, name) || s.tables[k][name] != nil })
	for r := range s.waiters {
		if !s.asked(r.kind, r.name) {
			delete(s.waiters, r)
		}
	}
	for address, e := range s.addresses {
		if s.tables[listeners][e.name] != e || !e.has(address) {
			delete(s.addresses, address)
		}
	}
}

// subscribe tells each origin what is wanted of it.
func (s *Source) subscribe() {
	names := map[place]*[kinds][]string{}
	for p := range s.origins {
		names[p] = &[kinds][]string{}
	}
	for k := range s.wanted {
		for name, w := range s.wanted[k] {
			if e := s.tables[k][name]; e != nil && e.static() {
				continue
			}
			if names[w.place] == nil {
				names[w.place] = &[kinds][]string{}
			}
			names[w.place][k] = append(names[w.place][k], name)
		}
	}
	for p, each := range names {
		s.want(p, each)
	}
}
