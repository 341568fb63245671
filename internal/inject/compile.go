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
