package dump

import (
	"iter"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	managerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// inlineRoutes finds the route tables that stand in listeners: Envoy shows them as static.
func inlineRoutes(states []State, q Query) iter.Seq[proto.Message] {
	return func(yield func(proto.Message) bool) {
		for _, s := range states {
			for _, table := range routesOf(s.Active) {
				packed, err := anypb.New(table)
				if err != nil || !q.takes(table.GetName()) {
					continue
				}
				if !yield(&adminv3.RoutesConfigDump_StaticRouteConfig{RouteConfig: packed, LastUpdated: stamp(s.Active.Updated)}) {
					return
				}
			}
		}
	}
}

func routesOf(r *Resource) (tables []*routev3.RouteConfiguration) {
	var l listenerv3.Listener
	if r == nil || proto.Unmarshal(r.Raw(), &l) != nil {
		return nil
	}
	for _, chain := range append(l.GetFilterChains(), l.GetDefaultFilterChain()) {
		for _, f := range chain.GetFilters() {
			var m managerv3.HttpConnectionManager
			if !f.GetTypedConfig().MessageIs(&m) || f.GetTypedConfig().UnmarshalTo(&m) != nil {
				continue
			}
			if table := m.GetRouteConfig(); table != nil {
				tables = append(tables, table)
			}
		}
	}
	return tables
}

// inlineEndpoints finds the endpoints that stand in clusters.
func inlineEndpoints(states []State, q Query, element func(State) proto.Message) iter.Seq[proto.Message] {
	return func(yield func(proto.Message) bool) {
		for _, s := range states {
			var c clusterv3.Cluster
			if s.Active == nil || proto.Unmarshal(s.Active.Raw(), &c) != nil || c.GetLoadAssignment() == nil {
				continue
			}
			packed, err := anypb.New(c.GetLoadAssignment())
			if err != nil || !q.takes(c.GetLoadAssignment().GetClusterName()) {
				continue
			}
			r := &Resource{Version: s.Active.Version, Type: packed.GetTypeUrl(), Raw: packed.GetValue, Updated: s.Active.Updated}
			if !yield(element(State{Name: s.Name, Active: r})) {
				return
			}
		}
	}
}
