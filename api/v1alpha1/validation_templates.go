package v1alpha1

import (
	"slices"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// maxTemplates bounds the texts of an Injector's templates together, in bytes. The ConfigMap that keeps the last good
// Injector over a restart holds no more, since JSON makes a text longer.
const maxTemplates = 256 << 10

func validateTemplates(s *InjectorSpec, spec *field.Path) field.ErrorList {
	errs, known := validateTexts(s.Templates, spec.Child("templates"))
	names := slices.Clone(known)
	for n, alias := range s.Aliases {
		at := spec.Child("aliases").Index(n)
		errs = append(errs, label(at.Child("name"), alias.Name)...)
		if slices.Contains(names, alias.Name) {
			errs = append(errs, field.Invalid(at.Child("name"), alias.Name, "a template or alias has this name; choose another"))
		}
		errs = append(errs, templateNames(at.Child("templates"), alias.Templates, known)...)
		names = append(names, alias.Name)
	}
	return append(errs, templateNames(spec.Child("defaultTemplates"), s.DefaultTemplates, names)...)
}

// validateTexts checks the templates and returns the names pods may use.
func validateTexts(templates []Template, path *field.Path) (errs field.ErrorList, known []string) {
	known = BuiltinTemplates()
	total := 0
	for n, t := range templates {
		at := path.Index(n)
		total += len(t.Inline)
		errs = append(errs, label(at.Child("name"), t.Name)...)
		if slices.ContainsFunc(templates[:n], func(other Template) bool { return other.Name == t.Name }) {
			errs = append(errs, field.Duplicate(at.Child("name"), t.Name))
		}
		errs = append(errs, validateSource(&t, at)...)
		known = append(known, t.Name)
	}
	if total > maxTemplates {
		errs = append(errs, field.TooLong(path, "", maxTemplates))
	}
	return errs, known
}

func validateSource(t *Template, path *field.Path) field.ErrorList {
	switch {
	case t.Inline == "" && t.ConfigMapRef == nil:
		return field.ErrorList{field.Required(path, "the template's text: inline or configMapRef")}
	case t.Inline != "" && t.ConfigMapRef != nil:
		return field.ErrorList{field.Invalid(path, t.Name, "has inline and configMapRef; remove one")}
	case t.ConfigMapRef == nil:
		return nil
	}
	var errs field.ErrorList
	for _, message := range validation.IsDNS1123Subdomain(t.ConfigMapRef.Name) {
		errs = append(errs, field.Invalid(path.Child("configMapRef", "name"), t.ConfigMapRef.Name, message))
	}
	for _, message := range validation.IsConfigMapKey(t.ConfigMapRef.Key) {
		errs = append(errs, field.Invalid(path.Child("configMapRef", "key"), t.ConfigMapRef.Key, message))
	}
	return errs
}

// maxNames bounds what one pod is made of.
const maxNames = 8

func templateNames(path *field.Path, names, known []string) field.ErrorList {
	var errs field.ErrorList
	if len(names) == 0 {
		errs = append(errs, field.Required(path, "at least one template"))
	}
	if len(names) > maxNames {
		errs = append(errs, field.TooMany(path, len(names), maxNames))
	}
	for n, name := range names {
		errs = append(errs, oneOf(path.Index(n), name, known...)...)
	}
	return errs
}
