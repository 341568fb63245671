package inject

import (
	"slices"

	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
	"github.com/pillion-mesh/pillion/internal/istio"
)

// containerLists are a pod's init containers and containers, in order.
type containerLists struct{ init, main []*rawjson.Value }

// order puts rendered containers beside the user's. Classic: istio-init last of the init containers, so that the user's
// still have the plain network; the proxy last of the containers. Native: both before everything of the user's, whose
// init containers then have a proxy too.
func order(user, rendered containerLists, native bool) containerLists {
	if !native {
		return containerLists{
			init: slices.Concat(user.init, rendered.init),
			main: slices.Concat(user.main, rendered.main),
		}
	}
	first := slices.Clone(rendered.init)
	var others []*rawjson.Value
	for _, c := range rendered.main {
		if nameOf(c) == istio.ContainerProxy {
			first = append(first, c.With("restartPolicy", rawjson.NewString("Always")))
		} else {
			others = append(others, c)
		}
	}
	return containerLists{
		init: append(first, user.init...),
		main: slices.Concat(user.main, others),
	}
}

// setAside splits the user's containers: those with a rendered one's name, and the rest.
func setAside(p pod, rendered containerLists) (user, own containerLists) {
	named := func(c *rawjson.Value) bool {
		name := nameOf(c)
		return byName(rendered.init, name) != nil || byName(rendered.main, name) != nil
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
func reapply(rendered []*rawjson.Value, own containerLists) []*rawjson.Value {
	if len(own.init)+len(own.main) == 0 {
		return rendered
	}
	result := slices.Clone(rendered)
	for i, c := range result {
		for _, mine := range slices.Concat(own.init, own.main) {
			if nameOf(mine) == nameOf(c) {
				result[i] = merge(c, ownFields(mine), containerSchema)
			}
		}
	}
	return result
}

// ownFields is a user's container less what says nothing: null fields, and the image "auto" (a pod can't be created
// without image). The pull policy of such an image is what the API server made up for it.
func ownFields(c *rawjson.Value) *rawjson.Value {
	auto := c.Get("image").Text() == "" || c.Get("image").Text() == "auto"
	var members []rawjson.Member
	for _, m := range c.Members() {
		if m.Value.Kind() == rawjson.Null || auto && (m.Key == "image" || m.Key == "imagePullPolicy") {
			continue
		}
		members = append(members, m)
	}
	return rawjson.NewObject(members...)
}
