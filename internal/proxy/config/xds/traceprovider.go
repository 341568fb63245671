package xds

import (
	"net/url"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tracev3 "github.com/envoyproxy/go-control-plane/envoy/config/trace/v3"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// The providers of tracing there are, and OpenTelemetry's resource detectors. Any other only costs its spans.
const (
	openTelemetryType = "envoy.config.trace.v3.OpenTelemetryConfig"
	zipkinType        = "envoy.config.trace.v3.ZipkinConfig"
	environmentType   = "envoy.extensions.tracers.opentelemetry.resource_detectors.v3.EnvironmentResourceDetectorConfig"
	spanExportPath    = "/v1/traces"
)

// traceProvider decodes where spans go; nil: nowhere, or the provider isn't built.
func (d *decoder) traceProvider(p *tracev3.Tracing_Http) *config.TraceProvider {
	if p == nil {
		return nil
	}
	t := d.open(p.GetTypedConfig())
	out := &config.TraceProvider{}
	ok := false
	switch t.message {
	case openTelemetryType:
		ok = d.openTelemetry(t, out)
	case zipkinType:
		ok = d.zipkin(t, out)
	}
	if !ok {
		d.note(Degraded, p.GetName())
		return nil
	}
	return out
}

// openTelemetry reports whether the provider is one whose spans can be sent.
func (d *decoder) openTelemetry(t typed, out *config.TraceProvider) bool {
	var m tracev3.OpenTelemetryConfig
	if !d.into(t, &m) {
		return true // the failure is noted
	}
	out.Kind, out.Service, out.MaxSpans = config.OpenTelemetry, d.intern(m.ServiceName), number(m.MaxCacheSize, 0)
	out.NoService = !truth(m.SetServiceNameResourceAttribute, true)
	out.NoSDK = !truth(m.SetTelemetrySdkResourceAttributes, true)
	for _, r := range m.ResourceDetectors {
		if messageName(r.GetTypedConfig().GetTypeUrl()) == environmentType {
			out.Environment = true
		} else {
			d.note(Degraded, "resource_detectors "+r.GetName())
		}
	}
	if m.Sampler != nil {
		d.note(Degraded, "sampler "+m.Sampler.GetName())
	}
	switch {
	case m.GrpcService != nil && m.HttpService != nil:
		d.fail("grpc_service and http_service")
	case m.GrpcService != nil:
		d.in("grpc_service", func() { d.spanGRPC(m.GrpcService, out) })
	case m.HttpService != nil:
		d.in("http_service", func() { d.spanHTTP(m.HttpService, spanExportPath, out) })
	}
	return out.Cluster != ""
}

func (d *decoder) spanGRPC(s *corev3.GrpcService, out *config.TraceProvider) {
	e := s.GetEnvoyGrpc()
	out.GRPC, out.Cluster, out.Authority = true, d.intern(e.GetClusterName()), d.intern(e.GetAuthority())
	out.Timeout = d.duration("timeout", s.GetTimeout(), 0)
	for _, h := range s.GetInitialMetadata() {
		out.Headers = append(out.Headers, [2]string{strings.ToLower(h.GetKey()), h.GetValue()})
	}
}

func (d *decoder) spanHTTP(s *corev3.HttpService, path string, out *config.TraceProvider) {
	out.Cluster, out.Path = d.intern(s.GetHttpUri().GetCluster()), path
	out.Timeout = d.duration("http_uri.timeout", s.GetHttpUri().GetTimeout(), 0)
	if u, err := url.Parse(s.GetHttpUri().GetUri()); err != nil {
		d.failIn("http_uri.uri", "%q is not a URL", excerpt(s.GetHttpUri().GetUri()))
	} else {
		out.Authority = d.intern(u.Host)
		if u.RequestURI() != "/" {
			out.Path = d.intern(u.RequestURI())
		}
	}
	for _, h := range s.GetRequestHeadersToAdd() {
		out.Headers = append(out.Headers, [2]string{strings.ToLower(h.GetHeader().GetKey()), h.GetHeader().GetValue()})
	}
}

func (d *decoder) zipkin(t typed, out *config.TraceProvider) bool {
	var m tracev3.ZipkinConfig
	if !d.into(t, &m) {
		return true
	}
	out.Kind, out.Cluster, out.Path = config.Zipkin, d.intern(m.CollectorCluster), d.intern(m.CollectorEndpoint)
	out.Authority, out.LongIDs, out.Unshared = d.intern(m.CollectorHostname), m.TraceId_128Bit, !truth(m.SharedSpanContext, true)
	out.W3C = m.TraceContextOption == tracev3.ZipkinConfig_USE_B3_WITH_W3C_PROPAGATION
	if m.CollectorService != nil {
		d.in("collector_service", func() { d.spanHTTP(m.CollectorService, out.Path, out) })
	}
	if m.CollectorEndpointVersion != tracev3.ZipkinConfig_HTTP_JSON {
		d.note(Degraded, "collector_endpoint_version "+m.CollectorEndpointVersion.String())
		return false
	}
	return out.Cluster != ""
}
