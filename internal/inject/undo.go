package inject

import (
	"slices"
	"strconv"

	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
)

// What an injection changes of what was there already is kept in an annotation, so that it can be taken back. What it
// adds by name is in the status annotation, the containers it merges with ours are in the one for overrides.
//
//	{"rendered": "1f2e3d4c5b6a",               what was added, see standing.go
//	 "places":   {"istio-proxy": 0},           where a container of the overrides stood in its list
//	 "pod":      {"metadata": {"labels": {"security.istio.io/tlsMode": ["istio"]}},
//	              "spec": {"containers": {"app": {"livenessProbe": {"httpGet": {"port": ["15020", 8080]}}}}}}}
//
// A list is a place that changed: what we wrote there (null: nothing), then what was there (missing: nothing).

// undoText is the annotation while it is written: text at once, since every pod gets one.
type undoText struct{ b []byte }

// field writes a field of an object, if value writes something.
func (u *undoText) field(key string, value func() bool) {
	mark := len(u.b)
	if u.b[mark-1] != '{' {
		u.b = append(u.b, ',')
	}
	u.b = append(rawjson.AppendQuoted(u.b, key), ':')
	if !value() {
		u.b = u.b[:mark]
	}
}

// object writes an object, if fields writes any.
func (u *undoText) object(fields func()) bool {
	mark := len(u.b)
	u.b = append(u.b, '{')
	if fields(); len(u.b) == mark+1 {
		u.b = u.b[:mark]
		return false
	}
	u.b = append(u.b, '}')
	return true
}

// changes tells two values apart; it writes nothing if they say the same. Lists with keys are compared by them, as
// objects are.
func (u *undoText) changes(was, is *rawjson.Value, s *schema) bool {
	switch {
	case was == is:
		return false
	case is.Kind() == rawjson.Object && (was.Kind() == rawjson.Object || was.Kind() == rawjson.Null):
		return u.object(func() { u.fields(was, is, s) })
	case is.Kind() == rawjson.List && (was.Kind() == rawjson.List || was.Kind() == rawjson.Null) && s.keyed() && s.apart(was) && s.apart(is):
		return u.object(func() { u.fields(s.byKey(was), s.byKey(is), nil) })
	case was != nil && is != nil && rawjson.Equal(was, is):
		return false
	}
	u.b = append(u.b, '[')
	u.b = is.Append(u.b) // null for nothing
	if was != nil {
		u.b = was.Append(append(u.b, ','))
	}
	u.b = append(u.b, ']')
	return true
}

func (u *undoText) fields(was, is *rawjson.Value, s *schema, but ...string) {
	then, now := was.Finder(), is.Finder()
	for _, m := range is.Members() {
		if old := then.Get(m.Key); old != m.Value && !slices.Contains(but, m.Key) {
			u.field(m.Key, func() bool { return u.changes(old, m.Value, s.field(m.Key)) })
		}
	}
	for _, m := range was.Members() {
		if now.Get(m.Key) == nil && !slices.Contains(but, m.Key) {
			u.field(m.Key, func() bool { return u.changes(m.Value, nil, nil) })
		}
	}
}

// containers compares the user's containers, which are as many and in the same order as they came.
func (u *undoText) containers(was, is []*rawjson.Value) bool {
	return u.object(func() {
		for i := range min(len(was), len(is)) {
			if was[i] != is[i] {
				u.field(nameOf(was[i]), func() bool { return u.changes(was[i], is[i], containerSchema) })
			}
		}
	})
}

// text is a key as the name of a field.
func (k itemKey) text() string {
	if k[1] == "" {
		return k[0]
	}
	return k[0] + "/" + k[1]
}

// apart says whether a list's items are objects with keys of their own.
func (s *schema) apart(list *rawjson.Value) bool {
	seen := make(map[itemKey]bool, len(list.Items()))
	for _, item := range list.Items() {
		key := s.keyOf(item)
		if item.Kind() != rawjson.Object || seen[key] {
			return false
		}
		seen[key] = true
	}
	return true
}

// byKey is a list as an object.
func (s *schema) byKey(list *rawjson.Value) *rawjson.Value {
	members := make([]rawjson.Member, len(list.Items()))
	for i, item := range list.Items() {
		members[i] = rawjson.Member{Key: s.keyOf(item).text(), Value: item}
	}
	return rawjson.NewObject(members...)
}

// revert takes changes back. Where something else stands now than what we wrote, somebody else wants it so, and it
// stays. What the API server added to it is no such thing.
func revert(v, changed *rawjson.Value, s *schema) *rawjson.Value {
	switch {
	case changed.Kind() == rawjson.List:
		return revertPlace(v, changed.Items())
	case changed.Kind() != rawjson.Object:
		return v
	case v.Kind() == rawjson.List && s.keyed():
		return revertList(v, changed, s)
	case v.Kind() != rawjson.Object:
		return v
	}
	for _, m := range changed.Members() {
		if standing := v.Get(m.Key); standing != nil || m.Value.Kind() == rawjson.List {
			v = v.With(m.Key, revert(standing, m.Value, s.field(m.Key)))
		}
	}
	if len(v.Members()) == 0 {
		return nil
	}
	return v
}

func revertPlace(v *rawjson.Value, place []*rawjson.Value) *rawjson.Value {
	switch {
	case len(place) == 0 || len(place) > 2:
		return v
	case place[0].Kind() == rawjson.Null && v != nil, place[0].Kind() != rawjson.Null && (v == nil || adopt(v, place[0], nil) != v):
		return v
	case len(place) == 1:
		return nil
	}
	return place[1]
}

func revertList(list, changed *rawjson.Value, s *schema) *rawjson.Value {
	var items []*rawjson.Value
	find := changed.Finder()
	for _, item := range list.Items() {
		key := s.keyOf(item)
		reverted := revert(item, orValue(find.Get(key.text()), rawjson.NewObject()), s.item)
		switch {
		case reverted == nil:
		case s.keyOf(reverted) == key:
			items = append(items, reverted)
		default:
			items = append(items, item) // nobody's work but an editor's
		}
	}
	if items == nil {
		return nil
	}
	return rawjson.NewList(items...)
}

// undo is the annotation's text. The annotations are those before ours are written.
func (a *assembly) undo() string {
	u := &undoText{b: a.vars.room}
	u.object(func() {
		u.field("rendered", func() bool { u.b = rawjson.AppendQuoted(u.b, a.standing.digest); return true })
		if places := a.places(); places != nil {
			u.field("places", func() bool { u.b = places.Append(u.b); return true })
		}
		u.field("pod", func() bool { return a.podChanges(u) })
	})
	a.vars.room = u.b[:0]
	return string(u.b)
}

func (a *assembly) podChanges(u *undoText) bool {
	mark, was := len(u.b), a.vars.pod.metadata
	changed := u.object(func() {
		u.field("metadata", func() bool {
			return u.object(func() {
				u.field("labels", func() bool { return u.changes(was.Get("labels"), a.metadata.Get("labels"), nil) })
				u.field("annotations", func() bool {
					return u.changes(was.Get("annotations"), withoutWritten(a.metadata.Get("annotations")), nil)
				})
			})
		})
		u.field("spec", func() bool { return u.object(func() { a.specChanges(u) }) })
	})
	earlier := a.standing.undo.Get("pod")
	if earlier == nil {
		return changed
	}
	if now, err := rawjson.Parse(string(u.b[mark:])); err == nil {
		earlier = merge(earlier, now, nil) // what somebody else changed since may be changed back
	}
	u.b = earlier.Append(u.b[:mark])
	return true
}

// specChanges leaves out the lists that the status annotation takes care of.
func (a *assembly) specChanges(u *undoText) {
	u.fields(a.vars.pod.spec, a.spec, nil, "initContainers", "containers", "volumes", "imagePullSecrets")
	u.field("initContainers", func() bool { return u.containers(a.came.init, a.user.init) })
	u.field("containers", func() bool { return u.containers(a.came.main, a.user.main) })
}

// places are where the user's own istio-proxy and istio-init stood.
func (a *assembly) places() *rawjson.Value {
	if len(a.own.init)+len(a.own.main) == 0 {
		return nil
	}
	var members []rawjson.Member
	for _, list := range [2]struct{ all, own []*rawjson.Value }{{a.vars.pod.initContainers(), a.own.init}, {a.vars.pod.containers(), a.own.main}} {
		for i, c := range list.all {
			if name := nameOf(c); byName(list.own, name) != nil {
				members = append(members, rawjson.Member{Key: name, Value: rawjson.NewScalar(rawjson.Number, strconv.Itoa(i))})
			}
		}
	}
	return rawjson.NewObject(members...)
}
