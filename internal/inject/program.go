package inject

import (
	"maps"
	"slices"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
)

// Program is a compiled Injector: immutable, safe for concurrent use.
type Program struct {
	injector    *v1alpha1.Injector
	op          Operator
	hash        string
	excluded    []string
	never       selectors
	always      selectors
	templates   map[string]*template
	aliases     map[string][]string
	defaults    choice
	pullSecrets *rawjson.Value // an overlay; nil if there are none
	image       string
	capture     Capture
	captureArgs *rawjson.Value // of pods that change nothing about capture
	quantities  quantities
	resources   *rawjson.Value // of pods without resource annotations

	componentLogLevel string         // as flags have it
	values            *rawjson.Value // spec.values: an object

	texts struct{ revision, injector, hash, network *rawjson.Value } // as pods get them
}

func newProgram(inj *v1alpha1.Injector, op Operator) *Program {
	spec := &inj.Spec
	p := &Program{
		injector:   inj,
		op:         op,
		excluded:   spec.ExcludedNamespaces,
		never:      compileSelectors(spec.NeverInject),
		always:     compileSelectors(spec.AlwaysInject),
		templates:  map[string]*template{},
		aliases:    map[string][]string{},
		image:      orText(spec.Proxy.Image, op.SidecarImage),
		quantities: quantitiesOf(spec.Proxy.Resources),
		capture:    captureOf(spec),
	}
	p.values = rawjson.NewObject()
	if spec.Values != nil {
		p.values = valuesOf(spec.Values.Raw)
	}
	for i, q := range p.quantities {
		if q != nil && i >= limitCPU && q.IsZero() {
			p.quantities[i] = nil // a limit of 0 is no limit
		}
	}
	for _, alias := range spec.Aliases {
		p.aliases[alias.Name] = alias.Templates
	}
	p.pullSecrets = pullSecrets(spec.ImagePullSecrets)
	p.resources = resourcesValue(p.quantities).Freeze()
	p.componentLogLevel = clean(v1alpha1.ComponentLogLevel, spec.Proxy.ComponentLogLevel)
	p.captureArgs = stringList(captureArgs(p.capture, int64(spec.Proxy.StatusPort))).Freeze()
	return p
}

func pullSecrets(list []v1alpha1.PullSecret) *rawjson.Value {
	var items []*rawjson.Value
	for _, secret := range list {
		items = append(items, rawjson.NewObject(rawjson.Member{Key: "name", Value: rawjson.NewString(secret.Name)}))
	}
	if items == nil {
		return nil
	}
	spec := rawjson.NewObject(rawjson.Member{Key: "imagePullSecrets", Value: rawjson.NewList(items...)})
	return rawjson.NewObject(rawjson.Member{Key: "spec", Value: spec})
}

// Hash names everything that can change a rendered pod: 12 hex digits.
func (p *Program) Hash() string { return p.hash }

// Injector is the name of the Injector this program was compiled from.
func (p *Program) Injector() string { return p.injector.Name }

// TemplateNames are the templates and aliases pods can name.
func (p *Program) TemplateNames() []string {
	return slices.Sorted(slices.Values(slices.AppendSeq(slices.Collect(maps.Keys(p.templates)), maps.Keys(p.aliases))))
}

func (p *Program) spec() *v1alpha1.InjectorSpec { return &p.injector.Spec }

// baseSettings are those of a pod without annotations.
func (p *Program) baseSettings(native bool) *settings {
	switch p.spec().NativeSidecar {
	case v1alpha1.NativeAlways:
		native = true
	case v1alpha1.NativeNever:
		native = false
	}
	return &settings{
		image: p.image, templates: p.spec().DefaultTemplates, native: native,
		capture: p.capture, resources: p.resources, podResources: p.spec().Proxy.PodResources,
		uid: p.spec().Proxy.UID, gid: p.spec().Proxy.UID,
		logLevel: p.spec().Proxy.LogLevel, componentLogLevel: p.componentLogLevel,
		agentLogLevel: agentScope + ":" + p.spec().Proxy.AgentLogLevel, concurrency: -1, readiness: defaultReadiness,
		statusPort: int64(p.spec().Proxy.StatusPort), rewriteProbes: *p.spec().Probes.Rewrite,
		mergePrometheus: *p.spec().Prometheus.Merge, hold: p.spec().Proxy.HoldApplication,
	}
}
