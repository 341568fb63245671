package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/pillion-mesh/pillion/internal/istio"
)

// NameDefault is the name the default Injector owns: pods that ask without naming a revision, and namespaces labelled
// istio-injection.
const NameDefault = "default"

// TemplateSidecar is the name of the built-in template.
const TemplateSidecar = "sidecar"

// SetDefaults fills what the CRD's schema would fill, for Injectors that come from a file, and what it leaves to us:
// the proxy's resources. A test compares it with the generated CRD.
func SetDefaults(i *Injector) {
	s := &i.Spec
	orDefault(&s.Revision, NameDefault)
	orDefault(&s.Policy, PolicyOptIn)
	orDefault(&s.Webhook.FailurePolicy, "Fail")
	orDefault(&s.Webhook.TimeoutSeconds, 5)
	orDefault(&s.NativeSidecar, NativeAuto)
	if len(s.DefaultTemplates) == 0 {
		s.DefaultTemplates = []string{TemplateSidecar}
	}
	defaultProxy(&s.Proxy)
	defaultCapture(&s.Capture)
}

func defaultProxy(p *Proxy) {
	orDefault(&p.ImagePullPolicy, corev1.PullIfNotPresent)
	orDefault(&p.LogLevel, "warning")
	orDefault(&p.UID, istio.ProxyUID)
	if p.Resources == nil {
		p.Resources = DefaultResources()
	}
}

func defaultCapture(c *Capture) {
	orDefault(&c.Mode, CaptureRedirect)
	if c.IncludeOutboundIPRanges == nil {
		c.IncludeOutboundIPRanges = new("*")
	}
	if c.IncludeInboundPorts == nil {
		c.IncludeInboundPorts = new("*")
	}
}

// DefaultResources are the proxy's where spec.proxy.resources is unset.
func DefaultResources() *corev1.ResourceRequirements {
	return &corev1.ResourceRequirements{
		Requests: corev1.ResourceList{
			corev1.ResourceCPU:    resource.MustParse("50m"),
			corev1.ResourceMemory: resource.MustParse("64Mi"),
		},
		Limits: corev1.ResourceList{
			corev1.ResourceCPU:    resource.MustParse("2"),
			corev1.ResourceMemory: resource.MustParse("512Mi"),
		},
	}
}

func orDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// OwnsDefault says whether this Injector claims the name "default".
func (i *Injector) OwnsDefault() bool {
	if i.Spec.IsDefault != nil {
		return *i.Spec.IsDefault
	}
	return i.Spec.Revision == NameDefault || i.Spec.Revision == ""
}

// Names are the names this Injector claims, its revision first.
func (i *Injector) Names() []string {
	revision := i.Spec.Revision
	orDefault(&revision, NameDefault)
	if i.OwnsDefault() && revision != NameDefault {
		return []string{revision, NameDefault}
	}
	return []string{revision}
}
