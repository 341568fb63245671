package inject

import (
	"context"
	"fmt"
	"slices"

	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
	"github.com/pillion-mesh/pillion/internal/istio"
)

// assembly is one pod on its way from what came to what goes back. Each step below takes it a little further.
type assembly struct {
	*Program
	vars     *vars
	before   pod            // as it came, an earlier injection included
	overlay  *rawjson.Value // what the templates say, all but the containers
	metadata *rawjson.Value
	user     containerLists // the user's containers
	own      containerLists // those that stand for a rendered one and were merged into it
	rendered containerLists // ours
	lists    containerLists // all, in order
	added    additions
}

// injected makes the pod with its sidecar. original is the pod as it came, v.pod the one without an earlier injection.
func (p *Program) injected(ctx context.Context, original *rawjson.Value, v *vars, reason Reason) (*rawjson.Value, error) {
	overlay, err := p.overlay(ctx, v)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("merging the pod with what was rendered: %w", err)
	}
	a := p.assembly(v, original, overlay)
	a.mergeOwn()
	// What changes the user's containers (a.user), the proxy's (a.rendered.main) or annotations (a.metadata) goes here.
	a.arrange()
	a.adoptStanding()
	a.label()
	a.annotate(reason)
	return a.pod(), nil
}

// assembly takes the containers out of the overlay.
func (p *Program) assembly(v *vars, original, overlay *rawjson.Value) *assembly {
	spec := overlay.Get("spec")
	a := &assembly{
		Program: p, vars: v, before: viewPod(original),
		rendered: containerLists{init: spec.Get("initContainers").Items(), main: spec.Get("containers").Items()},
		metadata: merge(v.pod.metadata, overlay.Get("metadata"), nil),
	}
	if len(v.env) > 0 {
		a.rendered.main = withEnv(a.rendered.main, v.env)
	}
	a.overlay = spec.With("initContainers", nil).With("containers", nil)
	a.added.secrets = newSecrets(v.pod.spec, spec)
	a.added.volumes, a.overlay = v.newVolumes(a.overlay)
	return a
}

// mergeOwn lets the user's istio-proxy and istio-init win over ours, field by field.
func (a *assembly) mergeOwn() {
	a.user, a.own = setAside(a.vars.pod, a.rendered)
	a.rendered = containerLists{init: reapply(a.rendered.init, a.own), main: reapply(a.rendered.main, a.own)}
}

// arrange puts all containers in order.
func (a *assembly) arrange() {
	native := a.vars.settings.native
	a.lists = order(a.user, a.rendered, native)
	a.added.init, a.added.main = names(a.rendered, native)
}

// adoptStanding leaves what an earlier injection by the same program added as it stands, where it can.
func (a *assembly) adoptStanding() {
	if a.again() {
		a.lists = adoptContainers(a.before, a.lists, a.added)
		a.overlay = adoptVolumes(a.before, a.overlay)
	}
}

func (a *assembly) again() bool {
	return isInjected(a.before.annotations) && a.before.annotations.Get(AnnotationInjectorHash).Text() == a.hash
}

// pod is the result.
func (a *assembly) pod() *rawjson.Value {
	spec := merge(a.vars.pod.spec, a.overlay, podSchema.field("spec"))
	spec = withList(withList(spec, "initContainers", a.lists.init), "containers", a.lists.main)
	if a.again() {
		spec = standingOrder(a.before.root, spec, "volumes")
	}
	return a.vars.pod.root.With("metadata", a.metadata).With("spec", spec)
}

// overlay renders the pod's templates one over the other.
func (p *Program) overlay(ctx context.Context, v *vars) (*rawjson.Value, error) {
	overlay := rawjson.NewObject()
	for _, name := range v.settings.templates {
		rendered, err := p.templates[name].render(ctx, v)
		if err != nil {
			return nil, err
		}
		overlay = merge(overlay, rendered, podSchema)
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("rendering template %q: %w", name, err)
		}
	}
	return overlay, nil
}

// withEnv gives the proxy the environment of the webhook's path; a template's own variables of that name give way.
func withEnv(rendered []*rawjson.Value, env []EnvVar) []*rawjson.Value {
	var items []*rawjson.Value
	for _, e := range env {
		items = append(items, rawjson.NewObject(
			rawjson.Member{Key: "name", Value: rawjson.NewString(e.Name)},
			rawjson.Member{Key: "value", Value: rawjson.NewString(e.Value)}))
	}
	extra := rawjson.NewObject(rawjson.Member{Key: "env", Value: rawjson.NewList(items...)})
	result := make([]*rawjson.Value, len(rendered))
	for i, c := range rendered {
		result[i] = c
		if nameOf(c) == istio.ContainerProxy {
			result[i] = merge(c, extra, containerSchema)
		}
	}
	return result
}

// newVolumes leaves out volumes whose names the pod already uses: the pod's stay as they are.
func (v *vars) newVolumes(spec *rawjson.Value) (added []string, overlay *rawjson.Value) {
	mine := v.pod.spec.Get("volumes").Items()
	wanted := spec.Get("volumes").Items()
	kept := make([]*rawjson.Value, 0, len(wanted))
	for _, volume := range wanted {
		name := nameOf(volume)
		if byName(mine, name) != nil {
			v.settings.warnings = append(v.settings.warnings, fmt.Sprintf("volume %q of the pod takes the place of the sidecar's", name))
			continue
		}
		kept, added = append(kept, volume), append(added, name)
	}
	if len(kept) == len(wanted) {
		return added, spec
	}
	return added, spec.With("volumes", rawjson.NewList(kept...))
}

func newSecrets(spec, overlay *rawjson.Value) (added []string) {
	for _, secret := range overlay.Get("imagePullSecrets").Items() {
		if byName(spec.Get("imagePullSecrets").Items(), nameOf(secret)) == nil {
			added = append(added, nameOf(secret))
		}
	}
	return added
}

// withList sets a list of containers, without making one where there was none.
func withList(spec *rawjson.Value, key string, list []*rawjson.Value) *rawjson.Value {
	if len(list) == 0 && !spec.Has(key) {
		return spec
	}
	return spec.With(key, rawjson.NewList(list...))
}

// adoptContainers keeps what else the containers of an earlier injection by the same program have (see adopt).
func adoptContainers(previous pod, lists containerLists, added additions) containerLists {
	adoptAll := func(standing, wanted []*rawjson.Value, names []string) {
		for i, c := range wanted {
			if slices.Contains(names, nameOf(c)) {
				wanted[i] = adopt(byName(standing, nameOf(c)), c, containerSchema)
			}
		}
	}
	adoptAll(previous.initContainers(), lists.init, added.init)
	adoptAll(previous.containers(), lists.main, added.main)
	return lists
}

func adoptVolumes(previous pod, overlay *rawjson.Value) *rawjson.Value {
	wanted := overlay.Get("volumes").Items()
	standing := previous.spec.Get("volumes").Items()
	adopted := make([]*rawjson.Value, len(wanted))
	for i, volume := range wanted {
		adopted[i] = adopt(byName(standing, nameOf(volume)), volume, nil)
	}
	if len(adopted) == 0 {
		return overlay
	}
	return overlay.With("volumes", rawjson.NewList(adopted...))
}

// standingOrder keeps a list whose order means nothing in the order it had, so that nothing is moved for nothing.
func standingOrder(original, spec *rawjson.Value, key string) *rawjson.Value {
	list := spec.Get(key)
	if list == nil || !original.Get("spec").Has(key) {
		return spec
	}
	var items []*rawjson.Value
	for _, item := range original.Get("spec", key).Items() {
		if kept := byName(list.Items(), nameOf(item)); kept != nil {
			items = append(items, kept)
		}
	}
	for _, item := range list.Items() {
		if byName(items, nameOf(item)) == nil {
			items = append(items, item)
		}
	}
	return spec.With(key, rawjson.NewList(items...))
}
