package v1alpha1

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/pillion-mesh/pillion/internal/istio"
)

// NameDefault is the name the default Injector owns: pods that ask without naming a revision, and namespaces labelled
// istio-injection.
const NameDefault = "default"

// Built-in templates.
const (
	TemplateSidecar   = "sidecar"   // capture and proxy beside an application
	TemplateGateway   = "gateway"   // a pod that is only a proxy
	TemplateProxyless = "proxyless" // the agent for an application that speaks xDS itself
)

// BuiltinTemplates are the names every Injector knows.
func BuiltinTemplates() []string {
	return []string{TemplateSidecar, TemplateGateway, TemplateProxyless}
}

// SetDefaults fills what the CRD's schema would fill, for Injectors that come from a file, and what it leaves to us:
// the proxy's resources. A test compares it with the generated CRD.
func SetDefaults(i *Injector) {
	s := &i.Spec
	orDefault(&s.Revision, NameDefault)
	orDefault(&s.Policy, PolicyOptIn)
	defaultWebhook(&s.Webhook)
	defaultCertificates(&s.Certificates)
	orDefault(&s.NativeSidecar, NativeAuto)
	if len(s.DefaultTemplates) == 0 {
		s.DefaultTemplates = []string{TemplateSidecar}
	}
	defaultProxy(&s.Proxy)
	defaultCapture(&s.Capture)
	if s.Probes.Rewrite == nil {
		s.Probes.Rewrite = new(true)
	}
	if s.Prometheus.Merge == nil {
		s.Prometheus.Merge = new(true)
	}
	orDefault(&s.Degrade.Mode, DegradeNever)
	orDefault(&s.Degrade.After.Duration, 10*time.Second)
	orDefault(&s.Degrade.RestoreAfter.Duration, 30*time.Second)
	defaultWorkload(&s.Workload)
}

func defaultWebhook(w *Webhook) {
	orDefault(&w.Mode, WebhookManaged)
	orDefault(&w.FailurePolicy, "Fail")
	orDefault(&w.TimeoutSeconds, 5)
	orDefault(&w.ReinvocationPolicy, "IfNeeded")
	if w.MatchConditions == nil {
		w.MatchConditions = new(true)
	}
	if w.Service != nil {
		orDefault(&w.Service.Port, 443)
	}
}

func defaultCertificates(c *Certificates) {
	orDefault(&c.Source, CertificatesSelfManaged)
	orDefault(&c.CABundle, BundleManage)
	orDefault(&c.Probe, ProbeAuto)
	orDefault(&c.SelfManaged.CADuration.Duration, 365*24*time.Hour)
	orDefault(&c.SelfManaged.LeafDuration.Duration, 24*time.Hour)
	orDefault(&c.CertManager.Duration.Duration, 30*24*time.Hour)
	if ref := c.CertManager.IssuerRef; ref != nil {
		orDefault(&ref.Kind, "Issuer")
		orDefault(&ref.Group, IssuerGroup)
	}
}

// DefaultCertificates are in effect while no Injector says otherwise.
func DefaultCertificates() Certificates {
	var c Certificates
	defaultCertificates(&c)
	return c
}

func defaultWorkload(w *Workload) {
	orDefault(&w.Evict, EvictNever)
	orDefault(&w.EvictionsPerMinute, 6)
	if w.DryRun == nil {
		w.DryRun = new(true)
	}
	for i := range w.MaintenanceWindows {
		orDefault(&w.MaintenanceWindows[i].TimeZone, "UTC")
	}
}

func defaultProxy(p *Proxy) {
	orDefault(&p.ImagePullPolicy, corev1.PullIfNotPresent)
	orDefault(&p.LogLevel, "warning")
	orDefault(&p.AgentLogLevel, "info")
	orDefault(&p.UID, istio.ProxyUID)
	orDefault(&p.StatusPort, istio.PortStatus)
	orDefault(&p.PodResources, PodResourcesPad)
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
	orDefault(&c.DNS, CaptureDNSOff)
	orDefault(&c.Backend, BackendAuto)
	orDefault(&c.IPFamilies, FamiliesAuto)
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
	names := []string{revision}
	if i.OwnsDefault() && revision != NameDefault {
		names = append(names, NameDefault)
	}
	for _, tag := range i.Spec.Tags {
		if !slices.Contains(names, tag) {
			names = append(names, tag)
		}
	}
	return names
}
