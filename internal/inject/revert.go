package inject

import (
	"slices"

	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
)

// revert takes changes back (undo.go). Where something else stands now than what we wrote, somebody else wants it so,
// and it stays. What the API server added to it is no such thing. It takes no longer than reading both.
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
	return revertObject(v, changed, s)
}

func revertObject(v, changed *rawjson.Value, s *schema) *rawjson.Value {
	changes := changed.Finder()
	ours := s.unionStands(v, changed)
	members := make([]rawjson.Member, 0, len(v.Members()))
	for _, m := range v.Members() {
		if change := changes.Get(m.Key); change != nil && (ours || !s.union(m.Key)) {
			m.Value = revert(m.Value, change, s.field(m.Key))
		}
		if m.Value != nil {
			members = append(members, m)
		}
	}
	members = append(members, s.missing(v, changed, ours)...)
	if len(members) == 0 {
		return nil
	}
	return rawjson.NewObject(members...)
}

// missing are the fields that we took away and nobody brought back.
func (s *schema) missing(v, changed *rawjson.Value, ours bool) (fields []rawjson.Member) {
	if !slices.ContainsFunc(changed.Members(), tookAway) {
		return nil
	}
	here := v.Finder()
	for _, m := range changed.Members() {
		if tookAway(m) && here.Get(m.Key) == nil && (ours || !s.union(m.Key)) {
			fields = append(fields, rawjson.Member{Key: m.Key, Value: m.Value.Items()[1]})
		}
	}
	return fields
}

func tookAway(m rawjson.Member) bool {
	return m.Value.Len() == 2 && m.Value.Items()[0].Kind() == rawjson.Null
}

// unionStands says whether v's answer to its union is the one we gave. Then all of it goes back, else nothing: a probe
// that somebody gave another handler must not get its old one besides.
func (s *schema) unionStands(v, changed *rawjson.Value) bool {
	if s == nil || s.one == nil {
		return true
	}
	here, changes := v.Finder(), changed.Finder()
	for _, m := range v.Members() {
		if s.answers(m) && changes.Get(m.Key) == nil {
			return false
		}
	}
	for _, m := range changed.Members() {
		if s.union(m.Key) && m.Value.Kind() == rawjson.List && !stands(here.Get(m.Key), m.Value.Items()) {
			return false
		}
	}
	return true
}

// stands says whether what is there now is what we wrote there.
func stands(v *rawjson.Value, place []*rawjson.Value) bool {
	switch {
	case len(place) == 0 || len(place) > 2:
		return false
	case place[0].Kind() == rawjson.Null:
		return v == nil
	}
	return v != nil && adopt(v, place[0], nil) == v
}

func revertPlace(v *rawjson.Value, place []*rawjson.Value) *rawjson.Value {
	switch {
	case !stands(v, place):
		return v
	case len(place) == 1:
		return nil
	}
	return place[1]
}

func revertList(list, changed *rawjson.Value, s *schema) *rawjson.Value {
	var items []*rawjson.Value
	changes := changed.Finder()
	for _, item := range list.Items() {
		key := s.keyOf(item)
		reverted := item
		if change := changes.Get(key.text()); change != nil {
			reverted = revert(item, change, s.item)
		}
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
