package v1alpha1

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Validate finds what the CRD's schema and CEL rules can't say (lists, references, names that must exist), and says the
// rest over again, for Injectors that come from a file. It expects SetDefaults to have run.
func Validate(i *Injector) field.ErrorList {
	spec := field.NewPath("spec")
	var errs field.ErrorList
	errs = append(errs, validateNames(i, spec)...)
	errs = append(errs, validateChoices(&i.Spec, spec)...)
	errs = append(errs, validateTemplates(&i.Spec, spec)...)
	errs = append(errs, validateProxy(&i.Spec.Proxy, spec.Child("proxy"))...)
	errs = append(errs, validateCapture(&i.Spec.Capture, spec.Child("capture"))...)
	return errs
}

func validateNames(i *Injector, spec *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(i.Name) > 63 || i.Name == "" {
		errs = append(errs, field.Invalid(field.NewPath("metadata", "name"), i.Name, "it becomes a label value: want 1 to 63 characters"))
	}
	errs = append(errs, label(spec.Child("revision"), i.Spec.Revision)...)
	for n, ns := range i.Spec.ExcludedNamespaces {
		errs = append(errs, label(spec.Child("excludedNamespaces").Index(n), ns)...)
	}
	if i.Spec.Revision == NameDefault && !i.OwnsDefault() {
		errs = append(errs, field.Invalid(spec.Child("isDefault"), false, `revision "default" is the default Injector; remove isDefault or choose another revision`))
	}
	if i.Spec.Policy == PolicyOptOut && !i.OwnsDefault() {
		errs = append(errs, field.Invalid(spec.Child("policy"), i.Spec.Policy, "works in the default Injector only; set isDefault: true or use OptIn"))
	}
	return errs
}

func label(path *field.Path, value string) field.ErrorList {
	var errs field.ErrorList
	for _, message := range validation.IsDNS1123Label(value) {
		errs = append(errs, field.Invalid(path, value, message))
	}
	return errs
}

func validateChoices(s *InjectorSpec, spec *field.Path) field.ErrorList {
	var errs field.ErrorList
	errs = append(errs, oneOf(spec.Child("policy"), s.Policy, PolicyOptIn, PolicyOptOut, PolicyExplicit)...)
	errs = append(errs, oneOf(spec.Child("nativeSidecar"), s.NativeSidecar, NativeAuto, NativeAlways, NativeNever)...)
	errs = append(errs, oneOf(spec.Child("webhook", "failurePolicy"), s.Webhook.FailurePolicy, "Fail", "Ignore")...)
	errs = append(errs, between(spec.Child("webhook", "timeoutSeconds"), int64(s.Webhook.TimeoutSeconds), 1, 30)...)
	return errs
}

func oneOf[T ~string](path *field.Path, value T, allowed ...T) field.ErrorList {
	if slices.Contains(allowed, value) {
		return nil
	}
	return field.ErrorList{field.NotSupported(path, value, allowed)}
}

func between(path *field.Path, value, low, high int64) field.ErrorList {
	if value >= low && value <= high {
		return nil
	}
	return field.ErrorList{field.Invalid(path, value, validation.InclusiveRangeError(int(low), int(high)))}
}

// maxTemplates bounds the texts of an Injector's templates together, in bytes. The ConfigMap that keeps the last good
// Injector over a restart holds no more, since JSON makes a text longer.
const maxTemplates = 256 << 10

func validateTemplates(s *InjectorSpec, spec *field.Path) field.ErrorList {
	var errs field.ErrorList
	known := []string{TemplateSidecar}
	seen := map[string]bool{}
	total := 0
	for n, t := range s.Templates {
		total += len(t.Inline)
		path := spec.Child("templates").Index(n)
		errs = append(errs, label(path.Child("name"), t.Name)...)
		if seen[t.Name] {
			errs = append(errs, field.Duplicate(path.Child("name"), t.Name))
		}
		if t.Inline == "" {
			errs = append(errs, field.Required(path.Child("inline"), "the template's text"))
		}
		seen[t.Name] = true
		known = append(known, t.Name)
	}
	if total > maxTemplates {
		errs = append(errs, field.TooLong(spec.Child("templates"), "", maxTemplates))
	}
	if len(s.DefaultTemplates) > 8 {
		errs = append(errs, field.TooMany(spec.Child("defaultTemplates"), len(s.DefaultTemplates), 8))
	}
	for n, name := range s.DefaultTemplates {
		errs = append(errs, oneOf(spec.Child("defaultTemplates").Index(n), name, known...)...)
	}
	return errs
}

// logLevels are the values of spec.proxy.logLevel.
var logLevels = []string{"trace", "debug", "info", "warning", "error", "critical", "off"}

func validateProxy(p *Proxy, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if p.Image != "" {
		if err := Image(p.Image); err != nil {
			errs = append(errs, field.Invalid(path.Child("image"), p.Image, err.Error()))
		}
	}
	errs = append(errs, oneOf(path.Child("imagePullPolicy"), p.ImagePullPolicy, corev1.PullAlways, corev1.PullIfNotPresent, corev1.PullNever)...)
	errs = append(errs, oneOf(path.Child("logLevel"), p.LogLevel, logLevels...)...)
	errs = append(errs, between(path.Child("uid"), p.UID, 1, 4294967294)...)
	if p.Resources != nil {
		errs = append(errs, validateResources(p.Resources, path.Child("resources"))...)
	}
	return errs
}

func validateResources(r *corev1.ResourceRequirements, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(r.Claims) > 0 {
		errs = append(errs, field.Forbidden(path.Child("claims"), "the proxy needs no device"))
	}
	for _, list := range []struct {
		name  string
		items corev1.ResourceList
	}{{"requests", r.Requests}, {"limits", r.Limits}} {
		for name, q := range list.items {
			at := path.Child(list.name).Key(string(name))
			if name != corev1.ResourceCPU && name != corev1.ResourceMemory {
				errs = append(errs, field.NotSupported(at, name, []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory}))
			} else if q.Sign() < 0 {
				errs = append(errs, field.Invalid(at, q.String(), "want a quantity of 0 or more"))
			}
		}
	}
	for name, request := range r.Requests {
		if limit, ok := r.Limits[name]; ok && !limit.IsZero() && request.Cmp(limit) > 0 { // a limit of 0 is no limit
			errs = append(errs, field.Invalid(path.Child("requests").Key(string(name)), request.String(), "is above the limit "+limit.String()))
		}
	}
	slices.SortFunc(errs, func(a, b *field.Error) int { return strings.Compare(a.Error(), b.Error()) })
	return errs
}

func validateCapture(c *Capture, path *field.Path) field.ErrorList {
	errs := oneOf(path.Child("mode"), c.Mode, CaptureRedirect, CaptureNone)
	for _, list := range []struct {
		name  string
		value *string
		check func(string) (string, error)
	}{
		{"includeOutboundIPRanges", c.IncludeOutboundIPRanges, CIDRsOrAll},
		{"excludeOutboundIPRanges", &c.ExcludeOutboundIPRanges, CIDRs},
		{"includeInboundPorts", c.IncludeInboundPorts, PortsOrAll},
		{"excludeInboundPorts", &c.ExcludeInboundPorts, Ports},
		{"includeOutboundPorts", &c.IncludeOutboundPorts, Ports},
		{"excludeOutboundPorts", &c.ExcludeOutboundPorts, Ports},
	} {
		if list.value == nil {
			continue
		}
		if _, err := list.check(*list.value); err != nil {
			errs = append(errs, field.Invalid(path.Child(list.name), *list.value, err.Error()))
		}
	}
	return errs
}
