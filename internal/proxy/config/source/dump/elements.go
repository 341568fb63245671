package dump

import (
	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	secretv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
)

func staticCluster(s State) proto.Message {
	r := s.Active
	if r == nil {
		r = s.Warming
	}
	if r == nil {
		return nil
	}
	return &adminv3.ClustersConfigDump_StaticCluster{Cluster: r.packed(), LastUpdated: stamp(r.Updated)}
}

func activeCluster(s State) proto.Message { return dynamicCluster(s, s.Active) }

// warmingCluster shows the error of a cluster here only if it isn't active, too.
func warmingCluster(s State) proto.Message {
	if s.Active != nil {
		s.Failure = nil
	}
	return dynamicCluster(s, s.Warming)
}

func dynamicCluster(s State, r *Resource) proto.Message {
	if r == nil {
		return nil
	}
	return &adminv3.ClustersConfigDump_DynamicCluster{
		VersionInfo: r.Version, Cluster: r.packed(), LastUpdated: stamp(r.Updated), ErrorState: failure(s.Failure),
	}
}

func extension(s State) proto.Message {
	if s.Active == nil {
		return nil
	}
	return &adminv3.EcdsConfigDump_EcdsFilterConfig{
		VersionInfo: s.Active.Version, EcdsFilter: s.Active.packed(), LastUpdated: stamp(s.Active.Updated), ErrorState: failure(s.Failure),
	}
}

func staticEndpoints(s State) proto.Message {
	return &adminv3.EndpointsConfigDump_StaticEndpointConfig{EndpointConfig: s.Active.packed(), LastUpdated: stamp(s.Active.Updated)}
}

func dynamicEndpoints(s State) proto.Message {
	if s.Active == nil {
		return nil
	}
	return &adminv3.EndpointsConfigDump_DynamicEndpointConfig{
		VersionInfo: s.Active.Version, EndpointConfig: s.Active.packed(), LastUpdated: stamp(s.Active.Updated), ErrorState: failure(s.Failure),
	}
}

func staticListener(s State) proto.Message {
	r := s.Active
	if r == nil {
		r = s.Warming
	}
	if r == nil {
		return nil
	}
	return &adminv3.ListenersConfigDump_StaticListener{Listener: r.packed(), LastUpdated: stamp(r.Updated)}
}

func dynamicListener(s State) proto.Message {
	return &adminv3.ListenersConfigDump_DynamicListener{
		Name: s.Name, ActiveState: listenerState(s.Active), WarmingState: listenerState(s.Warming), ErrorState: failure(s.Failure),
	}
}

func listenerState(r *Resource) *adminv3.ListenersConfigDump_DynamicListenerState {
	if r == nil {
		return nil
	}
	return &adminv3.ListenersConfigDump_DynamicListenerState{VersionInfo: r.Version, Listener: r.packed(), LastUpdated: stamp(r.Updated)}
}

func dynamicRoutes(s State) proto.Message {
	if s.Active == nil {
		return nil
	}
	return &adminv3.RoutesConfigDump_DynamicRouteConfig{
		VersionInfo: s.Active.Version, RouteConfig: s.Active.packed(), LastUpdated: stamp(s.Active.Updated), ErrorState: failure(s.Failure),
	}
}

func staticSecret(s State) proto.Message {
	if s.Active == nil {
		return nil
	}
	return &adminv3.SecretsConfigDump_StaticSecret{Name: s.Name, LastUpdated: stamp(s.Active.Updated), Secret: s.Active.packed()}
}

func activeSecret(s State) proto.Message {
	if s.Active == nil {
		return nil
	}
	return &adminv3.SecretsConfigDump_DynamicSecret{
		Name: s.Name, VersionInfo: s.Active.Version, LastUpdated: stamp(s.Active.Updated), Secret: s.Active.packed(), ErrorState: failure(s.Failure),
	}
}

// warmingSecret shows a secret that is waited for: all that is known of it is its name.
func warmingSecret(s State) proto.Message {
	if s.Active != nil {
		return nil
	}
	secret, err := anypb.New(&secretv3.Secret{Name: s.Name})
	if err != nil {
		return nil
	}
	return &adminv3.SecretsConfigDump_DynamicSecret{Name: s.Name, Secret: secret, ErrorState: failure(s.Failure)}
}
