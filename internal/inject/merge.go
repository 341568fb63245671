package inject

import (
	"slices"

	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
)

// merge overlays one value on another as a strategic merge patch does: objects by field, keyed lists by key, the rest
// is replaced, null removes, and of a union the overlay's member stays. What the overlay doesn't change is base's own, not a copy.
func merge(base, overlay *rawjson.Value, s *schema) *rawjson.Value {
	switch {
	case base == overlay || overlay == nil:
		return base
	case base.Kind() == rawjson.Object && overlay.Kind() == rawjson.Object:
		return mergeObjects(base, overlay, s)
	case base.Kind() == rawjson.List && overlay.Kind() == rawjson.List && s.keyed():
		return mergeLists(base, overlay, s)
	}
	return overlay
}

func mergeObjects(base, overlay *rawjson.Value, s *schema) *rawjson.Value {
	if len(overlay.Members()) == 0 {
		return base
	}
	members := append(make([]rawjson.Member, 0, len(base.Members())+len(overlay.Members())), base.Members()...)
	if s.settles(overlay) {
		members = slices.DeleteFunc(members, func(m rawjson.Member) bool { return s.union(m.Key) && !overlay.Has(m.Key) })
	}
	places := placesOf(len(members)+len(overlay.Members()), members, func(m rawjson.Member) string { return m.Key })
	for _, m := range overlay.Members() {
		at := places.find(members, m.Key)
		switch {
		case m.Value.Kind() == rawjson.Null && at >= 0:
			members[at].Value = nil
		case m.Value.Kind() == rawjson.Null:
		case at < 0:
			places.add(m.Key, len(members))
			members = append(members, m)
		default:
			members[at].Value = merge(members[at].Value, m.Value, s.field(m.Key))
		}
	}
	return rawjson.NewObject(slices.DeleteFunc(members, func(m rawjson.Member) bool { return m.Value == nil })...)
}

func mergeLists(base, overlay *rawjson.Value, s *schema) *rawjson.Value {
	items := append(make([]*rawjson.Value, 0, len(base.Items())+len(overlay.Items())), base.Items()...)
	places := placesOf(len(items)+len(overlay.Items()), items, s.keyOf)
	for _, item := range overlay.Items() {
		key := s.keyOf(item)
		at := places.find(items, key)
		switch {
		case at < 0:
			places.add(key, len(items))
			items = append(items, item)
		case s.whole:
			items[at] = item
		default:
			items[at] = merge(items[at], item, s.item)
		}
	}
	return rawjson.NewList(items...)
}
