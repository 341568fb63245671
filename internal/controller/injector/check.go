package injector

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject"
)

// emptyTemplate stands for a text that isn't there yet.
const emptyTemplate = "metadata: {}"

// Check says what would be wrong with an Injector that isn't written yet, and changes nothing but inj. What it refers to
// and isn't as it should be is only a warning: a ConfigMap may come after its Injector, and can be repaired by itself.
func (c *Compiler) Check(ctx context.Context, inj *v1alpha1.Injector) (invalid field.ErrorList, fault *inject.CompileError, warnings []string, err error) {
	if !c.Revisions.Serves(inj) {
		return nil, nil, nil, nil
	}
	v1alpha1.SetDefaults(inj)
	if invalid = v1alpha1.Validate(inj); len(invalid) > 0 {
		return invalid, nil, nil, nil
	}
	elsewhere := map[string]bool{}
	for _, t := range inj.Spec.Templates {
		elsewhere[t.Name] = t.ConfigMapRef != nil
	}
	missing, err := c.Sources.Resolve(ctx, inj)
	if err != nil {
		return nil, nil, nil, err
	}
	for i := range inj.Spec.Templates {
		if t := &inj.Spec.Templates[i]; missing[t.Name] != nil {
			t.Inline, t.ConfigMapRef = emptyTemplate, nil
		}
	}
	warnings = describeFaults(missing)
	if _, err = c.Compile(inj, c.Operator); err == nil || !errors.As(err, &fault) {
		return nil, nil, warnings, err
	}
	own, theirs := map[string][]v1alpha1.TemplateError{}, map[string][]v1alpha1.TemplateError{}
	for name, errs := range fault.Templates {
		if elsewhere[name] {
			theirs[name] = errs
		} else {
			own[name] = errs
		}
	}
	warnings = append(warnings, describeFaults(theirs)...)
	if len(own) == 0 {
		return nil, nil, warnings, nil
	}
	return nil, &inject.CompileError{Injector: inj.Name, Templates: own}, warnings, nil
}

// describeFaults is one sentence a fault, by template.
func describeFaults(templates map[string][]v1alpha1.TemplateError) []string {
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(templates)) {
		for _, e := range templates[name] {
			where := ""
			if name != "" {
				where = fmt.Sprintf("template %q", name)
				if e.Line > 0 {
					where += fmt.Sprintf(" line %d, column %d", e.Line, e.Column)
				}
				where += ": "
			}
			lines = append(lines, where+e.Message)
		}
	}
	return lines
}
