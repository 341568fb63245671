package inject

import (
	"github.com/google/cel-go/cel"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
	"github.com/pillion-mesh/pillion/internal/istio"
)

var (
	stringMap     = cel.MapType(cel.StringType, cel.StringType)
	anyMap        = cel.MapType(cel.StringType, cel.DynType)
	stringLists   = cel.MapType(cel.StringType, cel.ListType(cel.StringType))
	anyMaps       = cel.ListType(anyMap)
	containerType = cel.ObjectType("inject.Container")
)

// variables are all there are. Only what no pod, namespace or node can change is fixed; only what settings hold, and
// they alone, is a setting.
var variables = []variable{
	{name: "pod.name", typ: cel.StringType, get: func(v *vars) any { return v.pod.metadata.Get("name").Text() }},
	{name: "pod.generateName", typ: cel.StringType, get: func(v *vars) any { return v.pod.metadata.Get("generateName").Text() }},
	{name: "pod.labels", typ: stringMap, get: func(v *vars) any { return orEmpty(v.pod.labels.Map()) }},
	{name: "pod.annotations", typ: stringMap, get: func(v *vars) any { return orEmpty(v.pod.annotations.Map()) }},
	{name: "pod.serviceAccountName", typ: cel.StringType, get: func(v *vars) any { return orText(v.pod.spec.Get("serviceAccountName").Text(), "default") }},
	{name: "pod.nodeName", typ: cel.StringType, get: func(v *vars) any { return v.pod.spec.Get("nodeName").Text() }},
	{name: "pod.restartPolicy", typ: cel.StringType, get: func(v *vars) any { return orText(v.pod.spec.Get("restartPolicy").Text(), "Always") }},
	{name: "pod.terminationGracePeriodSeconds", typ: cel.IntType, get: gracePeriod},
	{name: "pod.containers", typ: cel.ListType(containerType), get: func(v *vars) any { return containersOf(v.pod) }},
	{name: "namespace.name", typ: cel.StringType, get: func(v *vars) any { return v.namespace.Name }},
	{name: "namespace.labels", typ: stringMap, get: func(v *vars) any { return orEmpty(v.namespace.Labels) }},
	{name: "namespace.annotations", typ: stringMap, get: func(v *vars) any { return orEmpty(v.namespace.Annotations) }},
	{name: "owner.kind", typ: cel.StringType, get: func(v *vars) any { return v.owner.Kind }},
	{name: "owner.name", typ: cel.StringType, get: func(v *vars) any { return v.owner.Name }},
	{name: "owner.uri", typ: cel.StringType, get: func(v *vars) any { return v.owner.uri(v.namespace.Name) }},

	{name: "proxy.image", typ: cel.StringType, setting: true, get: func(v *vars) any { return v.settings.image }},
	{name: "proxy.imagePullPolicy", typ: cel.StringType, fixed: true, get: func(v *vars) any { return string(v.program.spec().Proxy.ImagePullPolicy) }},
	{name: "proxy.logLevel", typ: cel.StringType, setting: true, get: func(v *vars) any { return v.settings.logLevel }},
	{name: "proxy.componentLogLevel", typ: cel.StringType, setting: true, get: func(v *vars) any { return v.settings.componentLogLevel }},
	{name: "proxy.agentLogLevel", typ: cel.StringType, setting: true, get: func(v *vars) any { return v.settings.agentLogLevel }},
	{name: "proxy.args", typ: cel.ListType(cel.StringType), setting: true, get: func(v *vars) any { return v.settings.moreArgs() }},
	{name: "proxy.uid", typ: cel.IntType, setting: true, get: func(v *vars) any { return v.settings.runAsUser() }},
	{name: "proxy.gid", typ: cel.IntType, setting: true, get: func(v *vars) any { return v.settings.gid }},
	{name: "proxy.runAsNonRoot", typ: cel.BoolType, setting: true, get: func(v *vars) any { return v.settings.runAsUser() != 0 }},
	{name: "proxy.capabilities", typ: stringLists, setting: true, get: func(v *vars) any { return goValue(v.settings.capabilities()) },
		json: func(v *vars) *rawjson.Value { return v.settings.capabilities() }},
	{name: "proxy.volumes", typ: anyMaps, setting: true, get: func(v *vars) any { return goValue(rawjson.NewList(v.settings.volumes...)) },
		json: func(v *vars) *rawjson.Value { return rawjson.NewList(v.settings.volumes...) }},
	{name: "proxy.volumeMounts", typ: anyMaps, setting: true, get: func(v *vars) any { return goValue(rawjson.NewList(v.settings.mounts...)) },
		json: func(v *vars) *rawjson.Value { return rawjson.NewList(v.settings.mounts...) }},
	{name: "proxy.statusPort", typ: cel.IntType, setting: true, get: func(v *vars) any { return v.settings.statusPort }},
	{name: "proxy.readyPort", typ: cel.IntType, fixed: true, get: func(*vars) any { return int64(istio.PortReady) }},
	{name: "proxy.native", typ: cel.BoolType, setting: true, get: func(v *vars) any { return v.settings.native }},
	{name: "proxy.bootstrap", typ: cel.StringType, setting: true, get: func(v *vars) any { return v.settings.bootstrap }},
	{name: "proxy.hold", typ: cel.BoolType, setting: true, get: func(v *vars) any { return v.settings.hold }},
	{name: "proxy.resources", typ: cel.MapType(cel.StringType, stringMap), setting: true, get: func(v *vars) any { return nestedMap(v.settings.resources) },
		json: func(v *vars) *rawjson.Value { return v.settings.resources }},

	{name: "probes.enabled", typ: cel.BoolType, setting: true, get: func(v *vars) any { return v.settings.statusPort != 0 }},
	{name: "probes.rewrite", typ: cel.BoolType, setting: true, get: func(v *vars) any { return v.settings.rewriteProbes && v.settings.statusPort != 0 }},
	{name: "probes.initialDelaySeconds", typ: cel.IntType, setting: true, get: func(v *vars) any { return v.settings.readiness.initialDelay }},
	{name: "probes.periodSeconds", typ: cel.IntType, setting: true, get: func(v *vars) any { return v.settings.readiness.period }},
	{name: "probes.failureThreshold", typ: cel.IntType, setting: true, get: func(v *vars) any { return v.settings.readiness.failureThreshold }},
	{name: "prometheus.merge", typ: cel.BoolType, setting: true, get: func(v *vars) any { return v.settings.mergePrometheus }},
	{name: "prometheus.scrapeTargets", typ: cel.StringType, setting: true, get: func(v *vars) any { return v.settings.scrapeTargets }},
	{name: "prometheus.securePort", typ: cel.IntType, setting: true, get: func(v *vars) any { return v.settings.securePort }},

	{name: "capture.enabled", typ: cel.BoolType, setting: true, get: func(v *vars) any { return v.settings.capture.Mode != v1alpha1.CaptureNone }},
	{name: "capture.mode", typ: cel.StringType, setting: true, get: func(v *vars) any { return string(v.settings.capture.Mode) }},
	{name: "capture.includeOutboundIPRanges", typ: cel.StringType, setting: true, get: func(v *vars) any { return v.settings.capture.IncludeOutboundIPRanges }},
	{name: "capture.excludeOutboundIPRanges", typ: cel.StringType, setting: true, get: func(v *vars) any { return v.settings.capture.ExcludeOutboundIPRanges }},
	{name: "capture.includeInboundPorts", typ: cel.StringType, setting: true, get: func(v *vars) any { return v.settings.capture.IncludeInboundPorts }},
	{name: "capture.excludeInboundPorts", typ: cel.StringType, setting: true, get: func(v *vars) any { return v.settings.capture.ExcludeInboundPorts }},
	{name: "capture.includeOutboundPorts", typ: cel.StringType, setting: true, get: func(v *vars) any { return v.settings.capture.IncludeOutboundPorts }},
	{name: "capture.excludeOutboundPorts", typ: cel.StringType, setting: true, get: func(v *vars) any { return v.settings.capture.ExcludeOutboundPorts }},
	{name: "capture.excludeInterfaces", typ: cel.StringType, setting: true, get: func(v *vars) any { return v.settings.capture.ExcludeInterfaces }},
	{name: "capture.excludeOutboundUIDs", typ: cel.StringType, setting: true, get: func(v *vars) any { return v.settings.capture.ExcludeOutboundUIDs }},
	{name: "capture.excludeInboundIPRanges", typ: cel.StringType, setting: true, get: func(v *vars) any { return v.settings.capture.ExcludeInboundIPRanges }},
	{name: "capture.args", typ: cel.ListType(cel.StringType), setting: true, get: func(v *vars) any { return captureArgs(v.settings.capture, v.settings.statusPort) },
		json: captureArgsValue},

	{name: "mesh.id", typ: cel.StringType, fixed: true, get: func(v *vars) any { return v.program.op.Mesh.ID }},
	{name: "mesh.trustDomain", typ: cel.StringType, fixed: true, get: func(v *vars) any { return v.program.op.Mesh.TrustDomain }},
	{name: "mesh.clusterID", typ: cel.StringType, fixed: true, get: func(v *vars) any { return v.program.op.Mesh.ClusterID }},
	{name: "mesh.clusterDomain", typ: cel.StringType, fixed: true, get: func(v *vars) any { return v.program.op.Mesh.ClusterDomain }},
	{name: "mesh.network", typ: cel.StringType, fixed: true, get: func(v *vars) any { return v.program.op.Mesh.Network }},
	{name: "mesh.discoveryAddress", typ: cel.StringType, fixed: true, get: func(v *vars) any { return v.program.op.Mesh.DiscoveryAddress }},
	{name: "mesh.caAddress", typ: cel.StringType, fixed: true, get: func(v *vars) any { return v.program.op.Mesh.CAAddress }},
	{name: "injector.name", typ: cel.StringType, fixed: true, get: func(v *vars) any { return v.program.injector.Name }},
	{name: "injector.revision", typ: cel.StringType, fixed: true, get: func(v *vars) any { return v.program.spec().Revision }},
	{name: "injector.hash", typ: cel.StringType, fixed: true, get: func(v *vars) any { return v.program.hash }},
	{name: "values", typ: anyMap, fixed: true, get: func(v *vars) any { return goValue(v.program.values) },
		json: func(v *vars) *rawjson.Value { return v.program.values }},
}
