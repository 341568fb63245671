package xds

import (
	"slices"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	metadatav3 "github.com/envoyproxy/go-control-plane/envoy/type/metadata/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// rateLimits decodes those of a filter, of which each must be understood.
func (d *decoder) rateLimits(field string, list []*routev3.RateLimit) (out []config.RateLimitActions) {
	for i, r := range list {
		d.at(field, i, func() { out = append(out, d.rateLimit(r)) })
	}
	return out
}

// routeRateLimits decodes those of a route or virtual host. They may be for a filter that isn't there, so one that isn't
// understood doesn't cost the table: it is kept as unbuilt, which fails where a service should have been asked. One for
// the end of a request limits nothing by itself.
func (d *decoder) routeRateLimits(list []*routev3.RateLimit) (out []config.RateLimitActions) {
	for i, r := range list {
		d.at("rate_limits", i, func() {
			d.noEffect(r.GetHitsAddend() != nil, "hits_addend")
			switch {
			case r.GetApplyOnStreamDone():
				d.note(Degraded, "apply_on_stream_done")
			case slices.ContainsFunc(r.GetActions(), unknownRateAction):
				d.note(Degraded, "actions")
				out = append(out, config.RateLimitActions{Stage: number(r.GetStage(), 0), Disable: r.GetDisableKey(), Unbuilt: true})
			default:
				out = append(out, d.rateLimit(r))
			}
		})
	}
	return out
}

func (d *decoder) rateLimit(r *routev3.RateLimit) config.RateLimitActions {
	out := config.RateLimitActions{Stage: number(r.GetStage(), 0), Disable: r.GetDisableKey()}
	for j, a := range r.GetActions() {
		d.at("actions", j, func() { out.Actions = append(out.Actions, d.rateAction(a)) })
	}
	if m := r.GetLimit().GetDynamicMetadata(); m != nil {
		d.in("limit.dynamic_metadata.metadata_key", func() { out.Limit = d.metadataKey(m.GetMetadataKey()) })
	}
	d.noEffect(r.GetXRatelimitOption() != 0, "x_ratelimit_option")
	return out
}

// unknownRateAction reports whether rateAction doesn't know the kind of a.
func unknownRateAction(a *routev3.RateLimit_Action) bool {
	switch a.GetActionSpecifier().(type) {
	case *routev3.RateLimit_Action_SourceCluster_, *routev3.RateLimit_Action_DestinationCluster_, *routev3.RateLimit_Action_RemoteAddress_,
		*routev3.RateLimit_Action_RequestHeaders_, *routev3.RateLimit_Action_GenericKey_, *routev3.RateLimit_Action_HeaderValueMatch_,
		*routev3.RateLimit_Action_QueryParameters_, *routev3.RateLimit_Action_QueryParameterValueMatch_,
		*routev3.RateLimit_Action_MaskedRemoteAddress_, *routev3.RateLimit_Action_DynamicMetadata:
		return false
	case *routev3.RateLimit_Action_Metadata:
		return a.GetMetadata().GetSource() > routev3.RateLimit_Action_MetaData_CLUSTER_ENTRY
	}
	return true
}

func (d *decoder) rateAction(a *routev3.RateLimit_Action) (out config.RateLimitAction) {
	if unknownRateAction(a) {
		d.fail("this kind of action is not supported")
		return out
	}
	switch s := a.GetActionSpecifier().(type) {
	case *routev3.RateLimit_Action_SourceCluster_:
		out.Kind = config.RateSourceCluster
	case *routev3.RateLimit_Action_DestinationCluster_:
		out.Kind = config.RateDestinationCluster
	case *routev3.RateLimit_Action_RemoteAddress_:
		out.Kind = config.RateRemoteAddress
	case *routev3.RateLimit_Action_MaskedRemoteAddress_:
		out.Kind = config.RateMaskedAddress
		out.Bits4 = d.maskBits("v4_prefix_mask_len", s.MaskedRemoteAddress.GetV4PrefixMaskLen(), 32)
		out.Bits6 = d.maskBits("v6_prefix_mask_len", s.MaskedRemoteAddress.GetV6PrefixMaskLen(), 128)
	case *routev3.RateLimit_Action_Metadata:
		out = d.rateMetadata(s.Metadata)
	case *routev3.RateLimit_Action_DynamicMetadata:
		m := s.DynamicMetadata
		out = d.rateMetadata(&routev3.RateLimit_Action_MetaData{DescriptorKey: m.GetDescriptorKey(), MetadataKey: m.GetMetadataKey(), DefaultValue: m.GetDefaultValue()})
	default:
		out = d.rateValue(a)
	}
	return out
}

// rateValue decodes the actions that look at a request's head, and the constant.
func (d *decoder) rateValue(a *routev3.RateLimit_Action) (out config.RateLimitAction) {
	switch s := a.GetActionSpecifier().(type) {
	case *routev3.RateLimit_Action_RequestHeaders_:
		h := s.RequestHeaders
		return config.RateLimitAction{
			Kind: config.RateRequestHeader, Key: d.intern(h.GetDescriptorKey()),
			Header: d.lowered([]string{h.GetHeaderName()})[0], SkipAbsent: h.GetSkipIfAbsent(),
		}
	case *routev3.RateLimit_Action_QueryParameters_:
		q := s.QueryParameters
		return config.RateLimitAction{
			Kind: config.RateQueryParameter, Key: d.intern(q.GetDescriptorKey()), Header: d.intern(q.GetQueryParameterName()), SkipAbsent: q.GetSkipIfAbsent(),
		}
	case *routev3.RateLimit_Action_GenericKey_:
		g := s.GenericKey
		d.noEffect(g.GetDefaultValue() != "", "generic_key.default_value")
		return config.RateLimitAction{Kind: config.RateGenericKey, Key: d.keyOr(g.GetDescriptorKey(), "generic_key"), Value: d.intern(g.GetDescriptorValue())}
	case *routev3.RateLimit_Action_HeaderValueMatch_:
		h := s.HeaderValueMatch
		d.noEffect(h.GetDefaultValue() != "", "header_value_match.default_value")
		return config.RateLimitAction{
			Kind: config.RateHeaderValueMatch, Key: d.keyOr(h.GetDescriptorKey(), "header_match"), Value: d.intern(h.GetDescriptorValue()),
			Headers: d.headerMatches("header_value_match.headers", h.GetHeaders()), Expect: truth(h.GetExpectMatch(), true),
		}
	case *routev3.RateLimit_Action_QueryParameterValueMatch_:
		d.in("query_parameter_value_match", func() { out = d.rateQueryMatch(s.QueryParameterValueMatch) })
	}
	return out
}

func (d *decoder) rateQueryMatch(q *routev3.RateLimit_Action_QueryParameterValueMatch) config.RateLimitAction {
	d.noEffect(q.GetDefaultValue() != "", "default_value")
	return config.RateLimitAction{
		Kind: config.RateQueryValueMatch, Key: d.keyOr(q.GetDescriptorKey(), "query_match"), Value: d.intern(q.GetDescriptorValue()),
		Query: d.queryMatches(q.GetQueryParameters()), Expect: truth(q.GetExpectMatch(), true),
	}
}

func (d *decoder) rateMetadata(m *routev3.RateLimit_Action_MetaData) config.RateLimitAction {
	out := config.RateLimitAction{
		Kind: config.RateMetadata, Key: d.intern(m.GetDescriptorKey()), Value: d.intern(m.GetDefaultValue()), SkipAbsent: m.GetSkipIfAbsent(),
		Source: config.RateMetadataSource(m.GetSource()), //nolint:gosec // unknownRateAction has looked at it
	}
	d.in("metadata.metadata_key", func() { out.Metadata = *d.metadataKey(m.GetMetadataKey()) })
	return out
}

func (d *decoder) metadataKey(m *metadatav3.MetadataKey) *config.MetadataKey {
	out := &config.MetadataKey{Filter: d.intern(m.GetKey())}
	for i, s := range m.GetPath() {
		if s.GetKey() == "" {
			d.at("path", i, func() { d.fail("no key") })
		}
		out.Path = append(out.Path, d.intern(s.GetKey()))
	}
	if out.Filter == "" || len(out.Path) == 0 {
		d.fail("no key or no path")
	}
	return out
}

// maskBits is the length of a prefix; unset, all of the address counts.
func (d *decoder) maskBits(field string, v *wrapperspb.UInt32Value, most uint32) uint8 {
	bits := number(v, most)
	if bits > most {
		d.failIn("masked_remote_address."+field, "above %d", most)
		return 0
	}
	return uint8(bits)
}

func (d *decoder) keyOr(key, missing string) string {
	if key == "" {
		return missing
	}
	return d.intern(key)
}
