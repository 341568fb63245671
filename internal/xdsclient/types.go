package xdsclient

const prefix = "type.googleapis.com/"

// Type URLs of the resources of Envoy's v3 API.
const (
	TypeCluster   = prefix + "envoy.config.cluster.v3.Cluster"
	TypeEndpoints = prefix + "envoy.config.endpoint.v3.ClusterLoadAssignment"
	TypeListener  = prefix + "envoy.config.listener.v3.Listener"
	TypeRoutes    = prefix + "envoy.config.route.v3.RouteConfiguration"
	TypeSecret    = prefix + "envoy.extensions.transport_sockets.tls.v3.Secret"
	TypeExtension = prefix + "envoy.config.core.v3.TypedExtensionConfig"

	typeWrapped = prefix + "envoy.service.discovery.v3.Resource"
)

// absenceRemoves says whether state of the world of this type names everything there is. Of the other types a response
// may hold some of the wanted resources only.
func absenceRemoves(typeURL string) bool { return typeURL == TypeCluster || typeURL == TypeListener }

// Methods of the services, by whether the stream is delta.
var methods = map[Service]map[bool]string{
	ADS: {
		true:  "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources",
		false: "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources",
	},
	SDS: {
		true:  "/envoy.service.secret.v3.SecretDiscoveryService/DeltaSecrets",
		false: "/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets",
	},
}
