package istio

// Annotations of pods: what of the injector's settings a pod overrides.
const (
	AnnotationStatus          = "sidecar.istio.io/status"
	AnnotationOverrides       = "proxy.istio.io/overrides"
	AnnotationProxyConfig     = "proxy.istio.io/config"
	AnnotationTemplates       = "inject.istio.io/templates"
	AnnotationNativeSidecar   = "sidecar.istio.io/nativeSidecar"
	AnnotationUserVolume      = "sidecar.istio.io/userVolume"
	AnnotationUserVolumeMount = "sidecar.istio.io/userVolumeMount"
	AnnotationNetBindService  = "sidecar.istio.io/capNetBindService"

	AnnotationDiscoveryAddress = "sidecar.istio.io/discoveryAddress"

	AnnotationProxyImage        = "sidecar.istio.io/proxyImage"
	AnnotationProxyImageType    = "sidecar.istio.io/proxyImageType"
	AnnotationProxyCPU          = "sidecar.istio.io/proxyCPU"
	AnnotationProxyMemory       = "sidecar.istio.io/proxyMemory"
	AnnotationProxyCPULimit     = "sidecar.istio.io/proxyCPULimit"
	AnnotationProxyMemoryLimit  = "sidecar.istio.io/proxyMemoryLimit"
	AnnotationLogLevel          = "sidecar.istio.io/logLevel"
	AnnotationComponentLogLevel = "sidecar.istio.io/componentLogLevel"
	AnnotationAgentLogLevel     = "sidecar.istio.io/agentLogLevel"
)

// Annotations about capture.
const (
	AnnotationInterceptionMode        = "sidecar.istio.io/interceptionMode"
	AnnotationIncludeOutboundIPRanges = "traffic.sidecar.istio.io/includeOutboundIPRanges"
	AnnotationExcludeOutboundIPRanges = "traffic.sidecar.istio.io/excludeOutboundIPRanges"
	AnnotationIncludeInboundPorts     = "traffic.sidecar.istio.io/includeInboundPorts"
	AnnotationExcludeInboundPorts     = "traffic.sidecar.istio.io/excludeInboundPorts"
	AnnotationIncludeOutboundPorts    = "traffic.sidecar.istio.io/includeOutboundPorts"
	AnnotationExcludeOutboundPorts    = "traffic.sidecar.istio.io/excludeOutboundPorts"
	AnnotationExcludeInterfaces       = "traffic.sidecar.istio.io/excludeInterfaces"
	AnnotationKubevirtInterfaces      = "traffic.sidecar.istio.io/kubevirtInterfaces"
	AnnotationRerouteInterfaces       = "istio.io/reroute-virtual-interfaces"
)

// Annotations about probes and metrics.
const (
	AnnotationStatusPort       = "status.sidecar.istio.io/port"
	AnnotationInitialDelay     = "readiness.status.sidecar.istio.io/initialDelaySeconds"
	AnnotationPeriod           = "readiness.status.sidecar.istio.io/periodSeconds"
	AnnotationFailureThreshold = "readiness.status.sidecar.istio.io/failureThreshold"
	AnnotationRewriteProbes    = "sidecar.istio.io/rewriteAppHTTPProbers"
	AnnotationMergeMetrics     = "prometheus.istio.io/merge-metrics"
	AnnotationScrapeTargets    = "prometheus.istio.io/scrape-targets"
	AnnotationSecurePort       = "prometheus.istio.io/secure-port"
)

// Annotations only Envoy has a use for, and one of older Istio: known, without effect.
const (
	AnnotationBootstrapOverride     = "sidecar.istio.io/bootstrapOverride"
	AnnotationStatsPrefixes         = "sidecar.istio.io/statsInclusionPrefixes"
	AnnotationStatsSuffixes         = "sidecar.istio.io/statsInclusionSuffixes"
	AnnotationStatsRegexps          = "sidecar.istio.io/statsInclusionRegexps"
	AnnotationStatsHistogramBuckets = "sidecar.istio.io/statsHistogramBuckets"
	AnnotationStatsCompression      = "sidecar.istio.io/statsCompression"
	AnnotationStatsEviction         = "sidecar.istio.io/statsEvictionInterval"
	AnnotationExtraStatTags         = "sidecar.istio.io/extraStatTags"
	AnnotationEnableCoreDump        = "sidecar.istio.io/enableCoreDump"
	AnnotationControlPlaneAuth      = "sidecar.istio.io/controlPlaneAuthPolicy"
	AnnotationApplicationPorts      = "readiness.status.sidecar.istio.io/applicationPorts"
)
