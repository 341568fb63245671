package istio

// ProxyConfigFields are the fields of Istio's ProxyConfig by their names in JSON, in order. Who reads one tells by them
// what is misspelt from what merely has no effect.
var ProxyConfigFields = [...]string{
	"availabilityZone", "binaryPath", "caCertificatesPem", "concurrency", "configPath", "connectTimeout",
	"controlPlaneAuthPolicy", "customConfigFile", "discoveryAddress", "drainDuration", "envoyAccessLogService",
	"envoyMetricsService", "envoyMetricsServiceAddress", "extraStatTags", "fileFlushInterval", "fileFlushMinSizeKb",
	"gatewayTopology", "holdApplicationUntilProxyStarts", "image", "interceptionMode", "meshId",
	"parentShutdownDuration", "privateKeyProvider", "proxyAdminPort", "proxyBootstrapTemplatePath", "proxyHeaders",
	"proxyMetadata", "proxyStatsMatcher", "readinessProbe", "runtimeValues", "serviceCluster", "statNameLength",
	"statsCompression", "statsdUdpAddress", "statusPort", "terminationDrainDuration", "tracing", "tracingServiceName",
	"zipkinAddress",
}
