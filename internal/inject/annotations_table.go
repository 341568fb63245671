package inject

import (
	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/istio"
)

// Group is a part of the reference.
type Group string

// Groups, in the order of the reference.
const (
	GroupSelection Group = "Selection"
	GroupTemplates Group = "Templates"
	GroupProxy     Group = "The proxy container"
	GroupResources Group = "Resources"
	GroupCapture   Group = "Capture"
	GroupProbes    Group = "Probes"
	GroupMetrics   Group = "Metrics"
	GroupWorkload  Group = "After injection"
	GroupWritten   Group = "Written by Pillion"
	GroupNoEffect  Group = "Known, without effect"
)

// Types that the reference explains.
const (
	typeBool     = "bool"
	typePorts    = "ports"
	typePortsAll = "ports or *"
	typeCIDRs    = "cidrs"
	typeCIDRsAll = "cidrs or *"
	typeIfaces   = "interfaces"
	typeQuantity = "quantity"
	typeLevel    = "level"
	typeImage    = "image"
)

// annotations is the table. Validation, "did you mean", docs/reference/annotations.md and tests come from it. Rows take
// effect from top to bottom: ProxyConfig, which says many things at once, gives way to annotations that say one.
var annotations = []Annotation{
	{Key: istio.LabelInject, Label: true, Group: GroupSelection, Type: "true, enabled; false, disabled", Default: "what the namespace says", Doc: "Whether this pod gets a sidecar."},
	{Key: istio.LabelInject, Group: GroupSelection, Type: "true, enabled; false, disabled", Default: "what the namespace says", Doc: "The same, where the label is missing. Webhooks can't see it.", Instead: "the label of the same name"},
	{Key: istio.LabelRevision, Label: true, Group: GroupSelection, Type: "revision or tag", Default: "none", Doc: "The Injector that injects, where the namespace names none.", Example: "canary"},

	{Key: istio.AnnotationProxyConfig, Group: GroupProxy, Type: "ProxyConfig in YAML, at most 32 KiB", Default: "none", Doc: "Many settings at once; see below. Each annotation that sets one of them wins over it.", Example: "{concurrency: 2, proxyMetadata: {A: b}}", set: setProxyConfig},
	{Key: istio.AnnotationTemplates, Group: GroupTemplates, Type: "1 to 8 names", Default: "I: defaultTemplates", Doc: "The templates or aliases to render, in this order.", Example: "sidecar,zone-env", set: setTemplates},

	{Key: istio.AnnotationProxyImage, Group: GroupProxy, Type: typeImage, Default: "I: proxy.image", Doc: "Image of istio-init and istio-proxy. A bare name takes registry and tag of the Injector's image.", Example: "registry.example/pillion-sidecar:1.2", set: setImage},
	{Key: istio.AnnotationProxyImageType, Group: GroupProxy, Type: "default or debug", Default: "the image as it is", Doc: "`debug` is the image with the tag's ending -debug, `default` the one without.", Example: "debug", set: setImageType},
	{Key: istio.AnnotationNativeSidecar, Group: GroupProxy, Type: typeBool, Default: "I: nativeSidecar", Doc: "Whether istio-proxy is an init container with restartPolicy Always.", Example: "true", set: setBool(func(s *settings) *bool { return &s.native })},
	{Key: istio.AnnotationLogLevel, Group: GroupProxy, Type: typeLevel, Default: "I: proxy.logLevel", Doc: "Log level of the proxy.", Example: "debug", set: setLogLevel},
	{Key: istio.AnnotationComponentLogLevel, Group: GroupProxy, Type: "scope:level, comma-separated", Default: "I: proxy.componentLogLevel", Doc: "Log levels of single parts of the proxy.", Example: "http:debug,tcp:info", set: setComponentLogLevel},
	{Key: istio.AnnotationAgentLogLevel, Group: GroupProxy, Type: "level, or scope:level, comma-separated", Default: "I: proxy.agentLogLevel", Doc: "Log level of the agent. It has one scope: `default`.", Example: "debug", set: setAgentLogLevel},
	{Key: istio.AnnotationNetBindService, Group: GroupProxy, Type: typeBool, Default: "false", Doc: "Lets the proxy listen on ports below 1024: it runs as root with NET_BIND_SERVICE and no other capability. Capture then knows it by its group.", Example: "true", set: setBool(func(s *settings) *bool { return &s.netBind })},
	{Key: istio.AnnotationBootstrapOverride, Group: GroupProxy, Type: "name of a ConfigMap", Default: "none", Doc: "The proxy starts from Envoy's bootstrap under the key `custom_bootstrap.json` of this ConfigMap in the pod's namespace: static resources, files, or the control plane named there. Without it every connection goes to where it was going.", Example: "bootstrap", set: setBootstrap},
	{Key: istio.AnnotationDiscoveryAddress, Group: GroupProxy, Type: "host:port", Default: "what proxy.istio.io/config says, else the mesh's", Doc: "The control plane. Port 15010 is without TLS. The agent reads it.", Example: "istiod.istio-system.svc:15012", set: checkDiscoveryAddress},
	{Key: istio.AnnotationUserVolume, Group: GroupProxy, Type: "JSON: a list of volumes, or a map by name", Default: "none", Doc: "Volumes added to the pod.", Example: `{"certs": {"secret": {"secretName": "web"}}}`, set: setUserVolumes},
	{Key: istio.AnnotationUserVolumeMount, Group: GroupProxy, Type: "JSON: a list of mounts, or a map by volume name", Default: "none", Doc: "Mounts added to istio-proxy.", Example: `{"certs": {"mountPath": "/etc/certs", "readOnly": true}}`, set: setUserMounts},
	{Key: AnnotationAllowProxyUID, Group: GroupProxy, Type: typeBool, Default: "false", Doc: "Lets an application run as the proxy's user. Its traffic isn't captured; without this the pod is denied.", Example: "true", set: setBool(func(s *settings) *bool { return &s.allowProxyUID })},

	{Key: istio.AnnotationProxyCPU, Group: GroupResources, Type: typeQuantity, Default: "I: proxy.resources", Doc: "CPU request of istio-proxy; 0 is none.", Example: "100m", set: setQuantity(requestCPU)},
	{Key: istio.AnnotationProxyMemory, Group: GroupResources, Type: typeQuantity, Default: "I: proxy.resources", Doc: "Memory request of istio-proxy; 0 is none.", Example: "128Mi", set: setQuantity(requestMemory)},
	{Key: istio.AnnotationProxyCPULimit, Group: GroupResources, Type: typeQuantity, Default: "I: proxy.resources", Doc: "CPU limit of istio-proxy; 0 removes it.", Example: "0", set: setQuantity(limitCPU)},
	{Key: istio.AnnotationProxyMemoryLimit, Group: GroupResources, Type: typeQuantity, Default: "I: proxy.resources", Doc: "Memory limit of istio-proxy; 0 removes it.", Example: "1Gi", set: setQuantity(limitMemory)},
	{Key: AnnotationPodResources, Group: GroupResources, Type: "Pad or Share", Default: "I: proxy.podResources", Doc: "For pods that set spec.resources: `Pad` raises what is set there by the sidecar's, `Share` gives the sidecar none but what annotations say.", Example: "Share", set: setPodResources},

	{Key: istio.AnnotationInterceptionMode, Group: GroupCapture, Type: "REDIRECT, TPROXY or NONE", Default: "I: capture.mode", Doc: "How traffic reaches the proxy. `TPROXY`: the application sees its clients' addresses; the proxy runs as root with NET_ADMIN and no other capability, and capture knows it by its group. `NONE`: there is no istio-init.", Example: "NONE", set: setMode},
	{Key: istio.AnnotationIncludeOutboundIPRanges, Group: GroupCapture, Type: typeCIDRsAll, Default: "I: capture.includeOutboundIPRanges, *", Doc: "Outbound addresses to capture.", Example: "10.0.0.0/8", set: setList(v1alpha1.CIDRsOrAll, func(c *Capture) *string { return &c.IncludeOutboundIPRanges })},
	{Key: istio.AnnotationExcludeOutboundIPRanges, Group: GroupCapture, Type: typeCIDRs, Default: "I: capture.excludeOutboundIPRanges", Doc: "Outbound addresses to leave alone.", Example: "10.96.0.0/16,192.0.2.7", set: setList(v1alpha1.CIDRs, func(c *Capture) *string { return &c.ExcludeOutboundIPRanges })},
	{Key: istio.AnnotationIncludeInboundPorts, Group: GroupCapture, Type: typePortsAll, Default: "I: capture.includeInboundPorts, *", Doc: "Inbound ports to capture.", Example: "8080", set: setList(v1alpha1.PortsOrAll, func(c *Capture) *string { return &c.IncludeInboundPorts })},
	{Key: istio.AnnotationExcludeInboundPorts, Group: GroupCapture, Type: typePorts, Default: "I: capture.excludeInboundPorts", Doc: "Inbound ports to leave alone. The sidecar's own (15090, 15021 and the status port) always are.", Example: "22,8000-8010", set: setList(v1alpha1.Ports, func(c *Capture) *string { return &c.ExcludeInboundPorts })},
	{Key: istio.AnnotationIncludeOutboundPorts, Group: GroupCapture, Type: typePorts, Default: "I: capture.includeOutboundPorts", Doc: "Outbound ports to capture whatever the address.", Example: "3306", set: setList(v1alpha1.Ports, func(c *Capture) *string { return &c.IncludeOutboundPorts })},
	{Key: istio.AnnotationExcludeOutboundPorts, Group: GroupCapture, Type: typePorts, Default: "I: capture.excludeOutboundPorts", Doc: "Outbound ports to leave alone.", Example: "5432,9000-9100", set: setList(v1alpha1.Ports, func(c *Capture) *string { return &c.ExcludeOutboundPorts })},
	{Key: istio.AnnotationExcludeInterfaces, Group: GroupCapture, Type: typeIfaces, Default: "I: capture.excludeInterfaces", Doc: "Interfaces captured in neither direction.", Example: "net1", set: setList(v1alpha1.Interfaces, func(c *Capture) *string { return &c.ExcludeInterfaces })},
	{Key: istio.AnnotationKubevirtInterfaces, Group: GroupCapture, Type: typeIfaces, Default: "none", Doc: "Interfaces of virtual machines.", Instead: istio.AnnotationRerouteInterfaces, set: setList(v1alpha1.Interfaces, func(c *Capture) *string { return &c.VirtualInterfaces })},
	{Key: istio.AnnotationRerouteInterfaces, Group: GroupCapture, Type: typeIfaces, Default: "none", Doc: "Interfaces of virtual machines in the pod: what arrives on them counts as outbound.", Example: "k6t-eth0", set: setList(v1alpha1.Interfaces, func(c *Capture) *string { return &c.VirtualInterfaces })},
	{Key: AnnotationExcludeOutboundUIDs, Group: GroupCapture, Type: "user ids or ranges", Default: "I: capture.excludeOutboundUIDs", Doc: "Users whose connections are left alone.", Example: "1001,2000-2999", set: setList(v1alpha1.UIDs, func(c *Capture) *string { return &c.ExcludeOutboundUIDs })},
	{Key: AnnotationExcludeInboundIPRanges, Group: GroupCapture, Type: typeCIDRs, Default: "I: capture.excludeInboundIPRanges", Doc: "Sources whose connections are left alone.", Example: "10.0.0.5", set: setList(v1alpha1.CIDRs, func(c *Capture) *string { return &c.ExcludeInboundIPRanges })},
	{Key: AnnotationCaptureDNS, Group: GroupCapture, Type: "Off", Default: "I: capture.dns", Doc: "Which DNS queries the sidecar answers. `Servers` and `All` aren't built yet.", Example: "Off", set: setCaptureDNS},
	{Key: AnnotationCaptureBackend, Group: GroupCapture, Type: "Auto, Nftables or Iptables", Default: "I: capture.backend", Doc: "What writes the rules. `Iptables` needs an image that has it.", Example: "Nftables", set: setBackend},
	{Key: AnnotationCaptureIPFamilies, Group: GroupCapture, Type: "Auto, IPv4, IPv6 or Dual", Default: "I: capture.ipFamilies", Doc: "Address families that are captured.", Example: "IPv4", set: setFamilies},
	{Key: AnnotationDNSForward, Group: GroupCapture, Type: "zone=address, comma-separated", Default: "none", Doc: "DNS servers of single zones, for queries the sidecar answers. It answers none yet, so this only warns.", Example: "corp.example=10.0.0.53", set: checkDNSForward},
	{Key: annotationNetworks, Group: GroupCapture, Type: "Multus' own", Default: "none", Doc: "Warns if the interfaces of more networks would be captured: name those in " + istio.AnnotationExcludeInterfaces + " that shouldn't be.", set: noteNetworks},

	{Key: istio.AnnotationStatusPort, Group: GroupProbes, Type: "port, or 0", Default: "I: proxy.statusPort", Doc: "Port of the agent, for probes and metrics. 0: there is none, istio-proxy has no probes, and the application's stay as they are.", Example: "15099", set: setStatusPort},
	{Key: istio.AnnotationInitialDelay, Group: GroupProbes, Type: "seconds, 0 or more", Default: "0", Doc: "initialDelaySeconds of istio-proxy's readiness probe.", Example: "3", set: setSeconds(0, func(r *readiness) *int64 { return &r.initialDelay })},
	{Key: istio.AnnotationPeriod, Group: GroupProbes, Type: "seconds, 1 or more", Default: "15", Doc: "periodSeconds of istio-proxy's readiness probe.", Example: "5", set: setSeconds(1, func(r *readiness) *int64 { return &r.period })},
	{Key: istio.AnnotationFailureThreshold, Group: GroupProbes, Type: "number, 1 or more", Default: "4", Doc: "failureThreshold of istio-proxy's readiness probe.", Example: "10", set: setSeconds(1, func(r *readiness) *int64 { return &r.failureThreshold })},
	{Key: istio.AnnotationRewriteProbes, Group: GroupProbes, Type: typeBool, Default: "I: probes.rewrite", Doc: "Sends the application's HTTP, TCP and gRPC probes by way of the agent.", Example: "false", set: setBool(func(s *settings) *bool { return &s.rewriteProbes })},

	{Key: istio.AnnotationMergeMetrics, Group: GroupMetrics, Type: typeBool, Default: "I: prometheus.merge", Doc: "Serves the application's metrics with the sidecar's, as one target.", Example: "false", set: setBool(func(s *settings) *bool { return &s.mergePrometheus })},
	{Key: istio.AnnotationScrapeTargets, Group: GroupMetrics, Type: "port[:path], comma-separated, at most 16", Default: "what prometheus.io/port and /path say", Doc: "More pages of the application's metrics.", Example: "8080:/metrics,9000", set: setScrapeTargets},
	{Key: istio.AnnotationSecurePort, Group: GroupMetrics, Type: "port", Default: "none", Doc: "Port of the merged metrics over mTLS.", Example: "15091", set: setSecurePort},

	{Key: AnnotationEvict, Group: GroupWorkload, Type: typeBool, Default: "true", Doc: "`false`: Pillion never evicts this pod, whatever the Injector's `workload.evict` says.", Example: "false", set: checkBool},

	{Key: istio.AnnotationStatus, Group: GroupWritten, Type: "JSON", Doc: "What was added to the pod, by name."},
	{Key: istio.AnnotationOverrides, Group: GroupWritten, Type: "JSON", Doc: "The pod's own containers that were merged with the sidecar's, as they were."},
	{Key: AnnotationUndo, Group: GroupWritten, Type: "JSON", Doc: "What was changed of the pod, for taking it back."},
	{Key: AnnotationPrometheus, Group: GroupWritten, Type: "JSON", Doc: "The prometheus.io annotations the pod had before they led to the sidecar."},
	{Key: istio.LabelRevision, Group: GroupWritten, Type: "revision", Doc: "The revision that injected."},
	{Key: AnnotationInjector, Group: GroupWritten, Type: "name", Doc: "The Injector that injected."},
	{Key: AnnotationInjectorHash, Group: GroupWritten, Type: "12 hex digits", Doc: "What that Injector was at the time: it changes when the same pod would be injected otherwise today."},
	{Key: AnnotationReason, Group: GroupWritten, Type: "reason", Doc: "Why the pod was injected."},
	{Key: annotationDefaultContainer, Group: GroupWritten, Type: "name", Doc: "The first container of the application, if the pod doesn't say."},
	{Key: annotationDefaultLogsContainer, Group: GroupWritten, Type: "name", Doc: "The same, for logs."},
	{Key: labelTLSMode, Label: true, Group: GroupWritten, Type: "istio", Doc: "The pod takes mTLS; if the pod doesn't say."},
	{Key: labelCanonicalName, Label: true, Group: GroupWritten, Type: "name", Doc: "From app.kubernetes.io/name, app or the workload, if the pod doesn't say."},
	{Key: labelCanonicalRevision, Label: true, Group: GroupWritten, Type: "version", Doc: "From app.kubernetes.io/version, version or `latest`, if the pod doesn't say."},
	{Key: labelNetwork, Label: true, Group: GroupWritten, Type: "network", Doc: "The pod's network, if it is known and the pod doesn't say."},

	{Key: istio.AnnotationStatsPrefixes, Group: GroupNoEffect},
	{Key: istio.AnnotationStatsSuffixes, Group: GroupNoEffect},
	{Key: istio.AnnotationStatsRegexps, Group: GroupNoEffect},
	{Key: istio.AnnotationStatsHistogramBuckets, Group: GroupNoEffect},
	{Key: istio.AnnotationStatsCompression, Group: GroupNoEffect},
	{Key: istio.AnnotationStatsEviction, Group: GroupNoEffect},
	{Key: istio.AnnotationExtraStatTags, Group: GroupNoEffect},
	{Key: istio.AnnotationEnableCoreDump, Group: GroupNoEffect},
	{Key: istio.AnnotationControlPlaneAuth, Group: GroupNoEffect},
	{Key: istio.AnnotationApplicationPorts, Group: GroupNoEffect},
}
