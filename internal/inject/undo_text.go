package inject

import (
	"slices"

	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
)

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
	case is.Kind() == rawjson.List && (was.Kind() == rawjson.List || was.Kind() == rawjson.Null) && s.keyed():
		if then, now, ok := s.apart(was.Items(), is.Items()); ok {
			return u.object(func() { u.fields(then, now, &schema{each: s.item}) })
		}
	}
	return u.place(was, is)
}

// place writes that something changed as a whole.
func (u *undoText) place(was, is *rawjson.Value) bool {
	if was != nil && is != nil && rawjson.Equal(was, is) {
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
			u.field(m.Key, func() bool { return u.member(m.Key, old, m.Value, s) })
		}
	}
	for _, m := range was.Members() {
		if now.Get(m.Key) == nil && !slices.Contains(but, m.Key) {
			u.field(m.Key, func() bool { return u.changes(m.Value, nil, nil) })
		}
	}
}

// member of a union is a place as a whole: half of a handler taken back is no handler.
func (u *undoText) member(key string, was, is *rawjson.Value, s *schema) bool {
	if s.union(key) {
		return u.place(was, is)
	}
	return u.changes(was, is, s.field(key))
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

// apart are two lists as objects, less what both start with: to tell them apart by key, the keys of what is left must
// be its own. An application's variables may be there twice, but ours come after them.
func (s *schema) apart(was, is []*rawjson.Value) (then, now *rawjson.Value, ok bool) {
	same := 0
	for same < min(len(was), len(is)) && was[same] == is[same] {
		same++
	}
	then, ok = s.byKey(was[:same], was[same:])
	if !ok {
		return nil, nil, false
	}
	now, ok = s.byKey(is[:same], is[same:])
	return then, now, ok
}

// byKey is a list as an object, if all items are objects with keys that neither another nor one before them has.
func (s *schema) byKey(before, list []*rawjson.Value) (*rawjson.Value, bool) {
	if len(list) == 0 {
		return rawjson.NewObject(), true
	}
	seen := make(map[itemKey]bool, len(before)+len(list))
	for _, item := range before {
		seen[s.keyOf(item)] = true
	}
	members := make([]rawjson.Member, len(list))
	for i, item := range list {
		key := s.keyOf(item)
		if item.Kind() != rawjson.Object || seen[key] {
			return nil, false
		}
		seen[key] = true
		members[i] = rawjson.Member{Key: key.text(), Value: item}
	}
	return rawjson.NewObject(members...), true
}
