package dump

import (
	"iter"
	"time"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// sections are the messages of the dump in their order. All are there even if they are empty: istioctl fails on a
// missing one.
func sections(c *Config, q Query) []section {
	all := []section{
		{head: bootstrap(c.Bootstrap)},
		{head: &adminv3.ClustersConfigDump{VersionInfo: c.Clusters.Version}, lists: []elementList{
			{"static_clusters", each(c.Clusters.Static, q, staticCluster)},
			{"dynamic_active_clusters", each(c.Clusters.Dynamic, q, activeCluster)},
			{"dynamic_warming_clusters", each(c.Clusters.Dynamic, q, warmingCluster)},
		}},
		{head: &adminv3.EcdsConfigDump{}, lists: []elementList{{"ecds_filters", each(c.Extensions.Dynamic, q, extension)}}},
	}
	if q.IncludeEDS {
		all = append(all, section{head: &adminv3.EndpointsConfigDump{}, lists: []elementList{
			{"static_endpoint_configs", inlineEndpoints(c.Clusters.Static, q, staticEndpoints)},
			{"dynamic_endpoint_configs", both(each(c.Endpoints.Dynamic, q, dynamicEndpoints), inlineEndpoints(c.Clusters.Dynamic, q, dynamicEndpoints))},
		}})
	}
	return append(all,
		section{head: &adminv3.ListenersConfigDump{VersionInfo: c.Listeners.Version}, lists: []elementList{
			{"static_listeners", each(c.Listeners.Static, q, staticListener)},
			{"dynamic_listeners", each(c.Listeners.Dynamic, q, dynamicListener)},
		}},
		section{head: &adminv3.ScopedRoutesConfigDump{}},
		section{head: &adminv3.RoutesConfigDump{}, lists: []elementList{
			{"static_route_configs", both(inlineRoutes(c.Listeners.Static, q), inlineRoutes(c.Listeners.Dynamic, q))},
			{"dynamic_route_configs", each(c.Routes.Dynamic, q, dynamicRoutes)},
		}},
		section{head: &adminv3.SecretsConfigDump{}, lists: []elementList{
			{"static_secrets", each(c.Secrets.Static, q, staticSecret)},
			{"dynamic_active_secrets", each(c.Secrets.Dynamic, q, activeSecret)},
			{"dynamic_warming_secrets", each(c.Secrets.Dynamic, q, warmingSecret)},
		}})
}

// each makes an element of each state that has one, when it is asked for.
func each(states []State, q Query, element func(State) proto.Message) iter.Seq[proto.Message] {
	return func(yield func(proto.Message) bool) {
		for _, s := range states {
			if !q.takes(s.Name) {
				continue
			}
			if m := element(s); m != nil && !yield(m) {
				return
			}
		}
	}
}

func both(a, b iter.Seq[proto.Message]) iter.Seq[proto.Message] {
	return func(yield func(proto.Message) bool) {
		for m := range a {
			if !yield(m) {
				return
			}
		}
		b(yield)
	}
}

func bootstrap(r *Resource) *adminv3.BootstrapConfigDump {
	d := &adminv3.BootstrapConfigDump{Bootstrap: &bootstrapv3.Bootstrap{}}
	if r == nil {
		return d
	}
	if err := (proto.UnmarshalOptions{Resolver: resolver{}}).Unmarshal(r.Raw(), d.Bootstrap); err != nil {
		d.Bootstrap = &bootstrapv3.Bootstrap{}
	}
	d.LastUpdated = stamp(r.Updated)
	return d
}

func (r *Resource) packed() *anypb.Any { return &anypb.Any{TypeUrl: r.Type, Value: r.Raw()} }

func stamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

func failure(f *Failure) *adminv3.UpdateFailureState {
	if f == nil {
		return nil
	}
	return &adminv3.UpdateFailureState{VersionInfo: f.Version, Details: f.Reason, LastUpdateAttempt: stamp(f.At)}
}
