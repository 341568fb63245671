package source

import (
	"errors"
	"fmt"

	"github.com/pillion-mesh/pillion/internal/proxy/config/xds"
	"github.com/pillion-mesh/pillion/internal/xdsclient"
)

var errClosed = errors.New("nothing is wanted of this stream any more")

// apply takes a response from an origin: good resources come into use, bad ones leave their last version in use and are
// told in the error.
func (s *Source) apply(o *origin, r xdsclient.Response) error {
	k, ok := kindOf(r.Type)
	if !ok {
		return fmt.Errorf("%s isn't a type this proxy asks for", r.Type)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.origins[o.place] != o {
		return errClosed
	}
	defer sparing(r)()
	s.remove(k, o, gone(s.tables[k], o, r))
	twice := duplicates(r.Resources)
	var refused []*xds.Error
	for _, each := range r.Resources {
		if twice[each.Name] > 1 {
			refused = append(refused, problem(k, each.Name, "named twice in one response"))
			twice[each.Name] = -1 // said once
		} else if twice[each.Name] >= 0 {
			refused = appendError(refused, s.put(k, o, each))
		}
	}
	s.came[k] = true
	s.retryBlocked(k)
	s.settle()
	if len(refused) == 0 {
		return nil
	}
	return errors.New(xds.Message(refused))
}

func appendError(all []*xds.Error, err *xds.Error) []*xds.Error {
	if err == nil {
		return all
	}
	return append(all, err)
}

func problem(k kind, name, reason string) *xds.Error {
	return &xds.Error{Kind: words[k], Name: name, Problems: []xds.Problem{{Reason: reason}}}
}

// duplicates counts the names that come more than once.
func duplicates(resources []xdsclient.Resource) map[string]int {
	seen := make(map[string]struct{}, len(resources))
	var twice map[string]int
	for _, each := range resources {
		if _, again := seen[each.Name]; again {
			if twice == nil {
				twice = map[string]int{}
			}
			twice[each.Name] = 2
		}
		seen[each.Name] = struct{}{}
	}
	return twice
}

// gone names the resources of this origin that a response removes, by name or by leaving them out.
func gone(table map[string]*entry, o *origin, r xdsclient.Response) []string {
	if !r.Complete {
		return r.Removed
	}
	present := make(map[string]struct{}, len(r.Resources))
	for _, each := range r.Resources {
		present[each.Name] = struct{}{}
	}
	var names []string
	for name, e := range table {
		if _, ok := present[name]; !ok && e.from == o {
			names = append(names, name)
		}
	}
	return names
}

// put takes one resource. Nil: it is in use, or warms, or nobody wants it any more.
func (s *Source) put(k kind, o *origin, r xdsclient.Resource) *xds.Error {
	if r.Type != typeURLs[k] {
		return problem(k, r.Name, fmt.Sprintf("is of type %s", r.Type))
	}
	e := s.tables[k][r.Name]
	if e == nil {
		if !s.asked(k, r.Name) {
			return nil
		}
		e = &entry{resource: resource{k, r.Name}, from: o}
		s.tables[k][r.Name] = e
	}
	if e.static() && o != nil {
		return nil // the bootstrap's stay, as in Envoy
	}
	e.from = o
	delete(s.doomed, e)
	if known, err := e.known(r); known {
		return err
	}
	return s.decode(e, r)
}

// asked says whether a resource is wanted: clusters and listeners always are.
func (s *Source) asked(k kind, name string) bool {
	if k == clusters || k == listeners {
		return true
	}
	_, ok := s.wanted[k][name]
	return ok
}

// known says whether these bytes were judged before, and how: then only their version is new.
func (e *entry) known(r xdsclient.Resource) (bool, *xds.Error) {
	if e.refused != nil && !e.blocked && e.refused.raw.equal(r.Value) {
		e.refused.text = intern(r.Version)
		return true, e.refused.err
	}
	if v := e.latest(); v != nil && v.raw.equal(r.Value) {
		v.text, e.refused, e.blocked = intern(r.Version), nil, false
		return true, nil
	}
	return false, nil
}

// decode has a resource decoded, and remembers how that went.
func (s *Source) decode(e *entry, r xdsclient.Resource) *xds.Error {
	now := s.opts.Now()
	if v := e.active; v != nil && v.raw.equal(r.Value) { // back to what serves while another one warms
		v.text, e.warming, e.refused, e.blocked = intern(r.Version), nil, nil, false
		delete(s.warming, e)
		s.stale = true
		return nil
	}
	v := &version{text: intern(r.Version), raw: loose(r.Value), updated: now}
	s.unpacked += len(r.Value)
	if err := s.decodeAs(e, v, r.Value); err != nil {
		e.refused = &refusal{text: v.text, raw: v.raw, at: now, err: err}
		s.opts.Log.Info("A resource was refused; its last version stays", "reason", err.Error(), "version", v.text)
		return err
	}
	e.refused, e.blocked = nil, false
	return nil
}

// remove takes resources away. What others only name (endpoints, routes, secrets, filters) stays in use until nothing
// names it; it just isn't held any more.
func (s *Source) remove(k kind, o *origin, names []string) {
	for _, name := range names {
		e := s.tables[k][name]
		switch {
		case e != nil && e.from != o:
		case k != clusters && k != listeners:
			s.absent(resource{k, name})
		case e == nil:
		case k == clusters:
			s.removeCluster(e)
		default:
			s.drop(e)
		}
	}
}
