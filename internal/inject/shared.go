package inject

import (
	"slices"

	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
	"github.com/pillion-mesh/pillion/internal/istio"
)

// standsFor says whether a user's container is there only to change the rendered one of its name: by that name, or since
// it has no image of its own.
func standsFor(c *rawjson.Value) bool {
	switch nameOf(c) {
	case istio.ContainerInit, istio.ContainerProxy:
		return true
	}
	return isAuto(c.Get("image"))
}

func isAuto(image *rawjson.Value) bool { return image.Text() == "" || image.Text() == "auto" }

// addShared adds what templates say of the user's other containers to them, where they stand: a template can give an
// application a variable or a mount. What the user says wins.
func (a *assembly) addShared() {
	a.rendered = containerLists{init: a.share(a.rendered.init), main: a.share(a.rendered.main)}
}

// share returns the rendered containers that aren't the user's.
func (a *assembly) share(rendered []*rawjson.Value) []*rawjson.Value {
	ours, users := split(rendered, func(c *rawjson.Value) bool {
		return byName(a.user.init, nameOf(c)) != nil || byName(a.user.main, nameOf(c)) != nil
	})
	for _, c := range users {
		a.user.init, a.user.main = filledIn(a.user.init, c), filledIn(a.user.main, c)
	}
	return ours
}

func filledIn(list []*rawjson.Value, with *rawjson.Value) []*rawjson.Value {
	at := slices.IndexFunc(list, func(c *rawjson.Value) bool { return nameOf(c) == nameOf(with) })
	if at < 0 {
		return list
	}
	list = slices.Clone(list)
	list[at] = fill(list[at], with, containerSchema)
	return list
}

// fill adds to a value what it hasn't, and leaves what it has, in its order.
func fill(v, with *rawjson.Value, s *schema) *rawjson.Value {
	switch {
	case v.Kind() == rawjson.Null:
		return with
	case v.Kind() == rawjson.Object && with.Kind() == rawjson.Object:
		return fillObject(v, with, s)
	case v.Kind() == rawjson.List && with.Kind() == rawjson.List && s.keyed():
		return fillList(v, with, s)
	}
	return v
}

func fillObject(v, with *rawjson.Value, s *schema) *rawjson.Value {
	members := slices.Clone(v.Members())
	places := placesOf(len(members)+len(with.Members()), members, func(m rawjson.Member) string { return m.Key })
	settled := s.settles(v)
	for _, m := range with.Members() {
		if at := places.find(members, m.Key); at >= 0 {
			members[at].Value = fill(members[at].Value, m.Value, s.field(m.Key))
		} else if !settled || !s.union(m.Key) {
			places.add(m.Key, len(members))
			members = append(members, m)
		}
	}
	return rawjson.NewObject(members...)
}

// fillList adds items, and leaves those of the same key as they are: half of one mount and half of another is neither.
func fillList(list, with *rawjson.Value, s *schema) *rawjson.Value {
	items := slices.Clone(list.Items())
	places := placesOf(len(items)+len(with.Items()), items, s.keyOf)
	for _, item := range with.Items() {
		if key := s.keyOf(item); places.find(items, key) < 0 {
			places.add(key, len(items))
			items = append(items, item)
		}
	}
	return rawjson.NewList(items...)
}
