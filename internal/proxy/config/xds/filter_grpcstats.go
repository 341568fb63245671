package xds

import (
	grpcstatsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/grpc_stats/v3"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

func (d *decoder) grpcStats(t typed) any {
	var m grpcstatsv3.FilterConfig
	if !d.into(t, &m) {
		return nil
	}
	out := &config.GRPCStats{FilterState: m.EmitFilterState, Times: m.EnableUpstreamStats, All: truth(m.GetStatsForAllMethods(), false)}
	out.ReplaceDots = out.All && m.ReplaceDotsInGrpcServiceName
	d.noEffect(!out.All && m.ReplaceDotsInGrpcServiceName, "replace_dots_in_grpc_service_name")
	for i, s := range m.GetIndividualMethodStatsAllowlist().GetServices() {
		d.at("individual_method_stats_allowlist.services", i, func() {
			if s.GetName() == "" || len(s.GetMethodNames()) == 0 {
				d.fail("no name or no methods")
			}
			for _, method := range s.GetMethodNames() {
				if out.Methods == nil {
					out.Methods = map[string]bool{}
				}
				out.Methods["/"+s.GetName()+"/"+method] = true
			}
		})
	}
	return out
}
