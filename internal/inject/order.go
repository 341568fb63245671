package inject

import (
	"slices"

	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
	"github.com/pillion-mesh/pillion/internal/istio"
)

// containerLists are a pod's init containers and containers, in order.
type containerLists struct{ init, main []*rawjson.Value }

// order puts rendered containers beside the user's. Classic: istio-init last of the init containers, so that the user's
// still have the plain network; the proxy last of the containers, or first where the application is to wait for it.
// Native: both before everything of the user's, whose init containers then have a proxy too.
func order(user, rendered containerLists, s *settings) containerLists {
	proxy, others := split(rendered.main, func(c *rawjson.Value) bool { return nameOf(c) != istio.ContainerProxy })
	switch {
	case s.native:
		return containerLists{init: slices.Concat(rendered.init, restarting(proxy), user.init), main: slices.Concat(user.main, others)}
	case s.hold:
		return containerLists{init: slices.Concat(user.init, rendered.init), main: slices.Concat(proxy, user.main, others)}
	}
	return containerLists{init: slices.Concat(user.init, rendered.init), main: slices.Concat(user.main, others, proxy)}
}

// restarting makes init containers native sidecars.
func restarting(list []*rawjson.Value) []*rawjson.Value {
	made := make([]*rawjson.Value, len(list))
	for i, c := range list {
		made[i] = c.With("restartPolicy", rawjson.NewString("Always"))
	}
	return made
}

// setAside splits the user's containers: those that stand for a rendered one, and the rest.
func setAside(p pod, rendered containerLists) (user, own containerLists) {
	named := func(c *rawjson.Value) bool {
		name := nameOf(c)
		return (byName(rendered.init, name) != nil || byName(rendered.main, name) != nil) && standsFor(c)
	}
	user.init, own.init = split(p.initContainers(), named)
	user.main, own.main = split(p.containers(), named)
	return user, own
}

// split keeps the list itself if nothing is taken out of it, as nearly always.
func split(list []*rawjson.Value, out func(*rawjson.Value) bool) (rest, taken []*rawjson.Value) {
	if !slices.ContainsFunc(list, out) {
		return slices.Clip(list), nil
	}
	for _, c := range list {
		if out(c) {
			taken = append(taken, c)
		} else {
			rest = append(rest, c)
		}
	}
	return rest, taken
}

// reapply overlays the user's containers on the rendered ones of the same name: they win field by field.
func (s *settings) reapply(rendered []*rawjson.Value, own containerLists) []*rawjson.Value {
	if len(own.init)+len(own.main) == 0 {
		return rendered
	}
	result := slices.Clone(rendered)
	for i, c := range result {
		for _, mine := range slices.Concat(own.init, own.main) {
			if nameOf(mine) == nameOf(c) {
				mine = s.placed(ownFields(mine))
				result[i] = s.settled(merge(c, mine, containerSchema), mine)
			}
		}
	}
	return result
}

// ownFields is a user's container less what says nothing: null fields, and the image "auto" (a pod can't be created
// without image). The pull policy of such an image is what the API server made up for it.
func ownFields(c *rawjson.Value) *rawjson.Value {
	auto := isAuto(c.Get("image"))
	var members []rawjson.Member
	for _, m := range c.Members() {
		if m.Value.Kind() == rawjson.Null || auto && (m.Key == "image" || m.Key == "imagePullPolicy") {
			continue
		}
		members = append(members, m)
	}
	return rawjson.NewObject(members...)
}
