package inject

import (
	"slices"

	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
)

// adopt is what to write where something of the same name already stands: wanted, with what the standing one has
// besides. That is the API server's defaults and what other webhooks added to our containers; taking it away again would
// make us change a pod we have nothing to add to. If the two are the same so, the standing one itself is returned.
func adopt(standing, wanted *rawjson.Value, s *schema) *rawjson.Value {
	switch {
	case standing == nil || rawjson.Equal(standing, wanted):
		return orValue(standing, wanted)
	case standing.Kind() == rawjson.Object && wanted.Kind() == rawjson.Object:
		return adoptObject(standing, wanted, s)
	case standing.Kind() != rawjson.List || wanted.Kind() != rawjson.List:
		return wanted
	case s.keyed():
		return adoptList(standing, wanted, s)
	case len(standing.Items()) == len(wanted.Items()):
		return adoptEach(standing, wanted)
	}
	return wanted
}

func orValue(v, otherwise *rawjson.Value) *rawjson.Value {
	if v == nil {
		return otherwise
	}
	return v
}

func adoptObject(standing, wanted *rawjson.Value, s *schema) *rawjson.Value {
	members := slices.Clone(standing.Members())
	here, find := standing.Finder(), wanted.Finder()
	if s.settles(wanted) {
		members = slices.DeleteFunc(members, func(m rawjson.Member) bool { return s.union(m.Key) && find.Get(m.Key) == nil })
	}
	changed := len(members) < len(standing.Members())
	for i, m := range members {
		if value := find.Get(m.Key); value != nil {
			members[i].Value = adopt(m.Value, value, s.field(m.Key))
			changed = changed || members[i].Value != m.Value
		}
	}
	for _, m := range wanted.Members() {
		if here.Get(m.Key) == nil {
			members, changed = append(members, m), true
		}
	}
	if !changed {
		return standing
	}
	return rawjson.NewObject(members...)
}

// adoptList keeps the standing order, which the API server and other webhooks don't change.
func adoptList(standing, wanted *rawjson.Value, s *schema) *rawjson.Value {
	items := slices.Clone(standing.Items())
	places := placesOf(len(items)+len(wanted.Items()), items, s.keyOf)
	changed := false
	for _, item := range wanted.Items() {
		key := s.keyOf(item)
		at := places.find(items, key)
		if at < 0 {
			places.add(key, len(items))
			items, changed = append(items, item), true
			continue
		}
		adopted := adopt(items[at], item, s.item)
		changed = changed || adopted != items[at]
		items[at] = adopted
	}
	if !changed {
		return standing
	}
	return rawjson.NewList(items...)
}

func adoptEach(standing, wanted *rawjson.Value) *rawjson.Value {
	items := slices.Clone(standing.Items())
	changed := false
	for i, item := range wanted.Items() {
		adopted := adopt(items[i], item, nil)
		changed = changed || adopted != items[i]
		items[i] = adopted
	}
	if !changed {
		return standing
	}
	return rawjson.NewList(items...)
}
