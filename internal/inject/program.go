package inject

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/google/cel-go/cel"
	"k8s.io/apimachinery/pkg/runtime"

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

// CompileError says what is wrong with an Injector, by template. Faults outside templates are under the name "".
type CompileError struct {
	Injector  string
	Templates map[string][]v1alpha1.TemplateError
}

func (e *CompileError) Error() string {
	var faults []string
	for _, name := range slices.Sorted(maps.Keys(e.Templates)) {
		for _, fault := range e.Templates[name] {
			faults = append(faults, faultText(name, fault))
		}
	}
	return fmt.Sprintf("compiling injector %q: %s", e.Injector, strings.Join(faults, "; "))
}

func faultText(template string, fault v1alpha1.TemplateError) string {
	switch {
	case template == "":
		return fault.Message
	case fault.Line == 0:
		return fmt.Sprintf("template %q: %s", template, fault.Message)
	}
	return fmt.Sprintf("template %q, line %d, column %d: %s", template, fault.Line, fault.Column, fault.Message)
}

// Compile turns an Injector into a Program. The error is a *CompileError, or a *TimeoutError: trying again may help.
func Compile(inj *v1alpha1.Injector, op Operator) (*Program, error) {
	ctx, cancel := context.WithTimeout(context.Background(), compileTime)
	defer cancel()
	return compile(ctx, inj, op)
}

func compile(ctx context.Context, inj *v1alpha1.Injector, op Operator) (*Program, error) {
	inj = inj.DeepCopy()
	v1alpha1.SetDefaults(inj)
	faults := map[string][]v1alpha1.TemplateError{}
	for _, err := range v1alpha1.Validate(inj) {
		faults[""] = append(faults[""], v1alpha1.TemplateError{Message: err.Error()})
	}
	if len(faults) > 0 {
		return nil, &CompileError{Injector: inj.Name, Templates: faults}
	}
	p := newProgram(inj, op)
	texts, err := templateTexts(inj, op.Templates)
	if err == nil {
		p.hash, err = hashOf(inj, op, texts)
	}
	var env *cel.Env
	if err == nil {
		env, err = newEnv()
	}
	if err != nil {
		faults[""] = []v1alpha1.TemplateError{{Message: err.Error()}}
		return nil, &CompileError{Injector: inj.Name, Templates: faults}
	}
	p.texts.revision, p.texts.injector = rawjson.NewString(inj.Spec.Revision), rawjson.NewString(inj.Name)
	p.texts.hash, p.texts.network = rawjson.NewString(p.hash), rawjson.NewString(op.Mesh.Network)
	p.compileTemplates(ctx, env, texts, faults)
	if len(faults) == 0 {
		p.tryCorpus(ctx, faults)
	}
	switch {
	case len(faults) > 0 && ctx.Err() != nil: // which may be all there is to them
		return nil, &TimeoutError{inj.Name}
	case len(faults) > 0:
		return nil, &CompileError{Injector: inj.Name, Templates: faults}
	}
	return p, nil
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

// templateTexts are all templates by name; an Injector's own shadows the built-in of its name.
func templateTexts(inj *v1alpha1.Injector, builtin fs.FS) (map[string]string, error) {
	if builtin == nil {
		return nil, errors.New("the operator has no built-in templates")
	}
	texts := map[string]string{}
	names, err := fs.Glob(builtin, "*.yaml")
	if err != nil {
		return nil, fmt.Errorf("listing the built-in templates: %w", err)
	}
	for _, file := range names {
		text, err := fs.ReadFile(builtin, file)
		if err != nil {
			return nil, fmt.Errorf("reading the built-in template %s: %w", file, err)
		}
		texts[strings.TrimSuffix(file, ".yaml")] = string(text)
	}
	for _, t := range inj.Spec.Templates {
		texts[t.Name] = t.Inline
	}
	return texts, nil
}

// hashOf names all that can change a rendered pod, except whether its proxy is native.
func hashOf(inj *v1alpha1.Injector, op Operator, texts map[string]string) (string, error) {
	spec := &inj.Spec
	text, err := json.Marshal(struct {
		Name, Revision, Image string
		Defaults              []string
		Aliases               []v1alpha1.Alias
		Values                *runtime.RawExtension
		Proxy                 v1alpha1.Proxy
		Capture               v1alpha1.Capture
		Probes                v1alpha1.Probes
		Prometheus            v1alpha1.Prometheus
		PullSecrets           []v1alpha1.PullSecret
		Mesh                  Mesh
		Templates             map[string]string
	}{inj.Name, spec.Revision, orText(spec.Proxy.Image, op.SidecarImage), spec.DefaultTemplates, spec.Aliases, spec.Values,
		spec.Proxy, spec.Capture, spec.Probes, spec.Prometheus, spec.ImagePullSecrets, op.Mesh, normalTexts(texts)})
	if err != nil {
		return "", fmt.Errorf("hashing the injector: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:6]), nil
}

func (p *Program) compileTemplates(ctx context.Context, env *cel.Env, texts map[string]string, faults map[string][]v1alpha1.TemplateError) {
	fixed := &vars{program: p, settings: p.baseSettings(false)}
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		if fault := p.unread(name); fault != "" {
			faults[name] = []v1alpha1.TemplateError{{Message: fault}}
			continue
		}
		t, errs := compileTemplate(ctx, env, fixed, name, texts[name])
		if len(errs) > 0 {
			faults[name] = errs
			continue
		}
		p.templates[name] = t
	}
	if len(faults) > 0 {
		return
	}
	var errs []error
	if p.defaults, errs = p.choose(p.spec().DefaultTemplates); len(errs) > 0 {
		faults[""] = []v1alpha1.TemplateError{{Message: "defaultTemplates: " + errors.Join(errs...).Error()}}
	}
}

// unread says why there is no text to compile. Operators read ConfigMaps before they compile; nobody else does.
func (p *Program) unread(name string) string {
	for _, t := range p.spec().Templates {
		if t.Name == name && t.Inline == "" && t.ConfigMapRef != nil {
			return fmt.Sprintf("its text is in key %q of ConfigMap %q, which isn't read here; put the text into inline", t.ConfigMapRef.Key, t.ConfigMapRef.Name)
		}
	}
	return ""
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
