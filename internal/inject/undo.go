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

// changes tells two values apart; nil if they say the same. Lists with keys are compared by them, as objects are.
func changes(was, is *rawjson.Value, s *schema) *rawjson.Value {
	switch {
	case was == is:
		return nil
	case is.Kind() == rawjson.Object && (was.Kind() == rawjson.Object || was.Kind() == rawjson.Null):
		return objectChanges(was, is, s)
	case is.Kind() == rawjson.List && (was.Kind() == rawjson.List || was.Kind() == rawjson.Null) && s.keyed() && s.apart(was) && s.apart(is):
		return objectChanges(s.byKey(was), s.byKey(is), nil)
	case was != nil && is != nil && rawjson.Equal(was, is):
		return nil
	}
	wrote := orValue(is, rawjson.NewScalar(rawjson.Null, "null"))
	if was == nil {
		return rawjson.NewList(wrote)
	}
	return rawjson.NewList(wrote, was)
}

func objectChanges(was, is *rawjson.Value, s *schema, but ...string) *rawjson.Value {
	var members []rawjson.Member
	then, now := was.Finder(), is.Finder()
	for _, m := range is.Members() {
		if old := then.Get(m.Key); old != m.Value && !slices.Contains(but, m.Key) {
			members = append(members, member(m.Key, changes(old, m.Value, s.field(m.Key)))...)
		}
	}
	for _, m := range was.Members() {
		if now.Get(m.Key) == nil && !slices.Contains(but, m.Key) {
			members = append(members, member(m.Key, changes(m.Value, nil, nil))...)
		}
	}
	return objectOrNil(members)
}

func objectOrNil(members []rawjson.Member) *rawjson.Value {
	if len(members) == 0 {
		return nil
	}
	return rawjson.NewObject(members...)
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
	was := a.vars.pod.metadata
	pod := objectOrNil(slices.Concat(
		member("metadata", objectOrNil(slices.Concat(
			member("labels", changes(was.Get("labels"), a.metadata.Get("labels"), nil)),
			member("annotations", changes(was.Get("annotations"), withoutWritten(a.metadata.Get("annotations")), nil)),
		))),
		member("spec", a.specChanges()),
	))
	if earlier := a.standing.undo.Get("pod"); earlier != nil {
		pod = merge(earlier, pod, nil) // what somebody else changed since may be changed back
	}
	return rawjson.NewObject(slices.Concat(
		member("rendered", rawjson.NewString(a.standing.digest)), member("places", a.places()), member("pod", pod),
	)...).String()
}

func member(key string, value *rawjson.Value) []rawjson.Member {
	if value == nil {
		return nil
	}
	return []rawjson.Member{{Key: key, Value: value}}
}

// specChanges leaves out the lists that the status annotation takes care of.
func (a *assembly) specChanges() *rawjson.Value {
	return objectOrNil(slices.Concat(
		objectChanges(a.vars.pod.spec, a.spec, nil, "initContainers", "containers", "volumes", "imagePullSecrets").Members(),
		member("initContainers", containerChanges(a.came.init, a.user.init)),
		member("containers", containerChanges(a.came.main, a.user.main)),
	))
}

// containerChanges compares the user's containers, which are as many and in the same order as they came.
func containerChanges(was, is []*rawjson.Value) *rawjson.Value {
	var members []rawjson.Member
	for i := range min(len(was), len(is)) {
		members = append(members, member(nameOf(was[i]), changes(was[i], is[i], containerSchema))...)
	}
	return objectOrNil(members)
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
