package v1alpha1

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
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
	errs = append(errs, validateRatio(i.Spec.Proxy.ResourceRatio, spec.Child("proxy", "resourceRatio"))...)
	errs = append(errs, validateCapture(&i.Spec.Capture, spec.Child("capture"))...)
	errs = append(errs, validateWebhook(&i.Spec, spec)...)
	errs = append(errs, validateCertificates(&i.Spec.Certificates, spec.Child("certificates"))...)
	errs = append(errs, validateWorkload(&i.Spec.Workload, spec.Child("workload"))...)
	return errs
}

func validateNames(i *Injector, spec *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(i.Name) > 63 || i.Name == "" {
		errs = append(errs, field.Invalid(field.NewPath("metadata", "name"), i.Name, "it becomes a label value: want 1 to 63 characters"))
	}
	errs = append(errs, label(spec.Child("revision"), i.Spec.Revision)...)
	errs = append(errs, validateTags(i, spec.Child("tags"))...)
	errs = append(errs, validateSelectors(i.Spec.AlwaysInject, spec.Child("alwaysInject"))...)
	errs = append(errs, validateSelectors(i.Spec.NeverInject, spec.Child("neverInject"))...)
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

// maxTags bounds the names of an Injector: each has a webhook configuration.
const maxTags = 32

func validateTags(i *Injector, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(i.Spec.Tags) > maxTags {
		errs = append(errs, field.TooMany(path, len(i.Spec.Tags), maxTags))
	}
	for n, tag := range i.Spec.Tags {
		at := path.Index(n)
		errs = append(errs, label(at, tag)...)
		switch {
		case tag == NameDefault:
			errs = append(errs, field.Invalid(at, tag, "set isDefault: true instead"))
		case tag == i.Spec.Revision:
			errs = append(errs, field.Invalid(at, tag, "the revision selects this Injector already; remove it from tags"))
		case slices.Contains(i.Spec.Tags[:n], tag):
			errs = append(errs, field.Duplicate(at, tag))
		}
	}
	return errs
}

const maxSelectors = 16

// validateSelectors wants selectors that select: an empty one matches every pod, which is what policy is for.
func validateSelectors(selectors []metav1.LabelSelector, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(selectors) > maxSelectors {
		errs = append(errs, field.TooMany(path, len(selectors), maxSelectors))
	}
	for n := range selectors {
		at := path.Index(n)
		if len(selectors[n].MatchLabels)+len(selectors[n].MatchExpressions) == 0 {
			errs = append(errs, field.Required(at, "an empty selector matches every pod; name labels"))
		}
		errs = append(errs, metav1validation.ValidateLabelSelector(&selectors[n], metav1validation.LabelSelectorValidationOptions{}, at)...)
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
	if s.Values != nil && len(s.Values.Raw) > maxValues {
		errs = append(errs, field.TooLong(spec.Child("values"), "", maxValues))
	}
	for n, secret := range s.ImagePullSecrets {
		for _, message := range validation.IsDNS1123Subdomain(secret.Name) {
			errs = append(errs, field.Invalid(spec.Child("imagePullSecrets").Index(n).Child("name"), secret.Name, message))
		}
	}
	return errs
}

// maxValues bounds spec.values, in bytes of JSON.
const maxValues = 64 << 10

func oneOf[T ~string](path *field.Path, value T, allowed ...T) field.ErrorList {
	if slices.Contains(allowed, value) {
		return nil
	}
	return field.ErrorList{field.NotSupported(path, value, allowed)}
}

func oneTo(path *field.Path, value, high int64) field.ErrorList {
	if value >= 1 && value <= high {
		return nil
	}
	return field.ErrorList{field.Invalid(path, value, validation.InclusiveRangeError(1, int(high)))}
}

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*$`)

// LogLevel checks a level's name.
func LogLevel(level string) error {
	if !slices.Contains(logLevels, level) {
		return fmt.Errorf("%q is not a log level; want one of %s", level, strings.Join(logLevels, ", "))
	}
	return nil
}

// ComponentLogLevel checks a list of "scope:level" and returns it without spaces and empty items.
func ComponentLogLevel(list string) (string, error) {
	return eachItem(list, func(item string) (string, error) {
		scope, level, ok := strings.Cut(item, ":")
		if !ok || !scopeName.MatchString(scope) {
			return "", fmt.Errorf("%q is not a level of a scope; want scope:level, such as http:debug", item)
		}
		return item, LogLevel(level)
	})
}

var scopeName = regexp.MustCompile(`^[a-z0-9][-_a-z0-9]{0,62}$`)

// logLevels are Envoy's.
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
	errs = append(errs, oneOf(path.Child("agentLogLevel"), p.AgentLogLevel, logLevels...)...)
	if _, err := ComponentLogLevel(p.ComponentLogLevel); err != nil {
		errs = append(errs, field.Invalid(path.Child("componentLogLevel"), p.ComponentLogLevel, err.Error()))
	}
	errs = append(errs, oneOf(path.Child("podResources"), p.PodResources, PodResourcesPad, PodResourcesShare)...)
	errs = append(errs, oneTo(path.Child("statusPort"), int64(p.StatusPort), 65535)...)
	for n, v := range p.Env {
		if !envName.MatchString(v.Name) {
			errs = append(errs, field.Invalid(path.Child("env").Index(n).Child("name"), v.Name, "want letters, digits, _ . and -, no digit first"))
		}
	}
	errs = append(errs, oneTo(path.Child("uid"), p.UID, 4294967294)...)
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
	errs := oneOf(path.Child("mode"), c.Mode, CaptureRedirect, CaptureTProxy, CaptureNone)
	errs = append(errs, oneOf(path.Child("dns"), c.DNS, CaptureDNSOff)...)
	errs = append(errs, oneOf(path.Child("backend"), c.Backend, BackendAuto, BackendNftables, BackendIptables)...)
	errs = append(errs, oneOf(path.Child("ipFamilies"), c.IPFamilies, FamiliesAuto, FamiliesIPv4, FamiliesIPv6, FamiliesDual)...)
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
		{"excludeInterfaces", &c.ExcludeInterfaces, Interfaces},
		{"excludeOutboundUIDs", &c.ExcludeOutboundUIDs, UIDs},
		{"excludeInboundIPRanges", &c.ExcludeInboundIPRanges, CIDRs},
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
