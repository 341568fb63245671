package inject

import (
	"context"
	"fmt"

	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
	"github.com/pillion-mesh/pillion/internal/istio"
)

// assembly is one pod on its way from what came to what goes back. Each step below takes it a little further.
type assembly struct {
	program  *Program
	vars     *vars // vars.pod is the pod without an earlier injection
	standing *standing
	metadata *rawjson.Value
	spec     *rawjson.Value // all but the containers
	came     containerLists // the user's containers as they came
	user     containerLists // and as they'll be: as many, in the same order. These lists are the pod's own: make new ones
	own      containerLists // the user's that stand for rendered ones and are merged into them
	rendered containerLists // ours
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
	a := &assembly{program: p, vars: v}
	a.split(overlay)
	a.addShared()
	a.mergeOwn()
	a.keepStanding(original, overlay)
	a.mergeSpec(overlay.Get("spec"))
	a.padResources()
	// What changes the user's containers (a.user), the proxy's (a.rendered.main), the spec or annotations (a.metadata)
	// goes here. It starts from what the user wrote each time, since an earlier injection is taken back first.
	a.rewriteProbes()
	a.mergePrometheus()
	a.label()
	if err := a.annotate(reason); err != nil {
		return nil, err
	}
	if err := a.checkFit(); err != nil {
		return nil, err
	}
	return a.pod(), nil
}

// split takes the containers out of what was rendered, and out of the pod.
func (a *assembly) split(overlay *rawjson.Value) {
	spec := overlay.Get("spec")
	a.rendered = containerLists{init: spec.Get("initContainers").Items(), main: spec.Get("containers").Items()}
	if env := a.vars.proxyEnv(); len(env) > 0 {
		a.rendered.main = withEnv(a.rendered.main, env)
	}
	a.came, a.own = setAside(a.vars.pod, a.rendered)
	a.user = a.came
	a.warnOfAuto()
	a.metadata = merge(a.vars.pod.metadata, overlay.Get("metadata"), nil)
}

// warnOfAuto tells of containers that wait for a template which isn't among the pod's.
func (a *assembly) warnOfAuto() {
	for _, list := range [2][]*rawjson.Value{a.user.init, a.user.main} {
		for _, c := range list {
			if c.Get("image").Text() == "auto" {
				a.vars.settings.warn("container %q has image auto, and no template of the pod has a container of this name: its image can't be pulled", nameOf(c))
			}
		}
	}
}

// mergeOwn lets the user's istio-proxy and istio-init win over ours, field by field.
func (a *assembly) mergeOwn() {
	s := a.vars.settings
	a.rendered = containerLists{init: s.reapply(a.rendered.init, a.own), main: s.reapply(a.rendered.main, a.own)}
}

// mergeSpec overlays what templates say besides containers.
func (a *assembly) mergeSpec(overlay *rawjson.Value) {
	overlay = withoutContainers(overlay)
	a.added.secrets = newSecrets(a.vars.pod.spec, overlay)
	a.added.volumes, overlay = a.vars.newVolumes(overlay)
	a.spec = a.standing.keepSpec(merge(a.vars.pod.spec, overlay, specSchema), overlay)
}

func withoutContainers(spec *rawjson.Value) *rawjson.Value {
	members := make([]rawjson.Member, 0, len(spec.Members()))
	for _, m := range spec.Members() {
		if m.Key != "initContainers" && m.Key != "containers" {
			members = append(members, m)
		}
	}
	return rawjson.NewObject(members...)
}

// pod is the result.
func (a *assembly) pod() *rawjson.Value {
	lists := order(a.user, a.rendered, a.vars.settings)
	spec, pod := newFields(a.spec, 2), newFields(a.vars.pod.root, 2)
	spec.setList("initContainers", lists.init)
	spec.setList("containers", lists.main)
	pod.set("metadata", a.metadata)
	pod.set("spec", spec.object())
	return pod.object()
}

// overlay renders the pod's templates one over the other, and the Injector's pull secrets over all.
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
	if p.pullSecrets != nil {
		overlay = merge(overlay, p.pullSecrets, podSchema)
	}
	return overlay, nil
}

// withEnv gives the proxy more environment; a template's own variables of that name give way.
func withEnv(rendered []*rawjson.Value, env []EnvVar) []*rawjson.Value {
	var items []*rawjson.Value
	for _, e := range env {
		items = append(items, rawjson.NewObject(
			rawjson.Member{Key: "name", Value: rawjson.NewString(e.Name)},
			rawjson.Member{Key: "value", Value: rawjson.NewString(literal(e.Value))}))
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
	kept, added := make([]*rawjson.Value, 0, len(wanted)), make([]string, 0, len(wanted))
	for _, volume := range wanted {
		name := nameOf(volume)
		if byName(mine, name) != nil {
			v.settings.warn("volume %q of the pod takes the place of the sidecar's", name)
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
