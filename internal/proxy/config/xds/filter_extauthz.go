package xds

import (
	"maps"
	"slices"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authzv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// defaultAuthzTimeout is Envoy's.
const defaultAuthzTimeout = 200 * time.Millisecond

func (d *decoder) extAuthz(t typed) any {
	var m authzv3.ExtAuthz
	if !d.into(t, &m) {
		return nil
	}
	out := &config.ExtAuthz{
		StatPrefix: d.intern(m.StatPrefix), FailureAllow: m.FailureModeAllow, FailureHeader: m.FailureModeAllowHeaderAdd,
		StatusOnError: uint32(m.GetStatusOnError().GetCode()), ClearRouteCache: m.ClearRouteCache,
		IncludePeer: m.IncludePeerCertificate, TLSSession: m.IncludeTlsSession,
		Enabled:        d.fraction("filter_enabled", m.FilterEnabled),
		DenyDisabled:   truth(m.GetDenyAtDisable().GetDefaultValue(), false),
		RequestHeaders: d.headerList("allowed_headers", m.AllowedHeaders),
		HiddenHeaders:  d.headerList("disallowed_headers", m.DisallowedHeaders),
		Metadata:       slices.Clone(m.MetadataContextNamespaces), RouteMetadata: slices.Clone(m.RouteMetadataContextNamespaces),
		MaxRequestBytes: m.GetWithRequestBody().GetMaxRequestBytes(), AllowPartial: m.GetWithRequestBody().GetAllowPartialMessage(),
		PackAsBytes: m.GetWithRequestBody().GetPackAsBytes(),
	}
	if m.WithRequestBody != nil && out.MaxRequestBytes == 0 {
		d.failIn("with_request_body.max_request_bytes", "zero")
	}
	if m.FilterEnabledMetadata != nil {
		d.in("filter_enabled_metadata", func() { out.EnabledMetadata = d.metadataMatch(m.FilterEnabledMetadata) })
	}
	d.authzService(&m, out)
	d.authzRefused(&m)
	return out
}

// authzRefused refuses what would let the service see less or change more than it was meant to.
func (d *decoder) authzRefused(m *authzv3.ExtAuthz) {
	if m.DecoderHeaderMutationRules != nil {
		d.failIn("decoder_header_mutation_rules", "not supported")
	}
	if m.ShadowMode {
		d.failIn("shadow_mode", "not supported")
	}
	d.noEffect(len(m.TypedMetadataContextNamespaces) > 0, "typed_metadata_context_namespaces")
	d.noEffect(len(m.RouteTypedMetadataContextNamespaces) > 0, "route_typed_metadata_context_namespaces")
}

func (d *decoder) authzService(m *authzv3.ExtAuthz, out *config.ExtAuthz) {
	switch s := m.Services.(type) {
	case *authzv3.ExtAuthz_GrpcService:
		d.in("grpc_service", func() { d.authzGRPC(s.GrpcService, out) })
	case *authzv3.ExtAuthz_HttpService:
		d.in("http_service", func() { d.authzHTTP(s.HttpService, out) })
	default:
		d.fail("neither grpc_service nor http_service")
	}
}

func (d *decoder) authzGRPC(s *corev3.GrpcService, out *config.ExtAuthz) {
	out.Timeout = d.duration("timeout", s.GetTimeout(), defaultAuthzTimeout)
	out.GRPCCluster, out.Authority, out.AddHeaders = d.grpcService(s)
}

func (d *decoder) authzHTTP(s *authzv3.HttpService, out *config.ExtAuthz) {
	d.in("server_uri", func() {
		out.HTTPCluster, out.HTTPURI = s.GetServerUri().GetCluster(), s.GetServerUri().GetUri()
		out.Timeout = d.duration("timeout", s.GetServerUri().GetTimeout(), defaultAuthzTimeout)
		if out.HTTPCluster == "" {
			d.failIn("cluster", "empty")
		}
	})
	if out.PathPrefix = s.GetPathPrefix(); out.PathPrefix != "" && !strings.HasPrefix(out.PathPrefix, "/") {
		d.failIn("path_prefix", "doesn't begin with a slash")
	}
	if s.GetPathOverride() != "" {
		d.failIn("path_override", "not supported")
	}
	d.authzHeaders(s, out)
}

func (d *decoder) authzHeaders(s *authzv3.HttpService, out *config.ExtAuthz) {
	d.in("authorization_request", func() {
		r := s.GetAuthorizationRequest()
		out.RequestHeaders = append(out.RequestHeaders, d.headerList("allowed_headers", r.GetAllowedHeaders())...)
		for _, h := range r.GetHeadersToAdd() {
			out.AddHeaders = append(out.AddHeaders, [2]string{strings.ToLower(h.GetKey()), h.GetValue()})
		}
	})
	d.in("authorization_response", func() {
		r := s.GetAuthorizationResponse()
		out.UpstreamHeaders = d.headerList("allowed_upstream_headers", r.GetAllowedUpstreamHeaders())
		out.AppendUpstream = d.headerList("allowed_upstream_headers_to_append", r.GetAllowedUpstreamHeadersToAppend())
		out.ClientHeaders = d.headerList("allowed_client_headers", r.GetAllowedClientHeaders())
		out.SuccessHeaders = d.headerList("allowed_client_headers_on_success", r.GetAllowedClientHeadersOnSuccess())
		d.noEffect(r.GetDynamicMetadataFromHeaders() != nil, "dynamic_metadata_from_headers")
	})
}

// headerList decodes matches of header names.
func (d *decoder) headerList(field string, m *matcherv3.ListStringMatcher) []config.StringMatch {
	return d.stringMatches(field+".patterns", m.GetPatterns())
}

func (d *decoder) extAuthzOverride(t typed) (out config.Override) {
	var m authzv3.ExtAuthzPerRoute
	if !d.into(t, &m) {
		return out
	}
	switch s := m.Override.(type) {
	case *authzv3.ExtAuthzPerRoute_Disabled:
		out.Disabled = s.Disabled
	case *authzv3.ExtAuthzPerRoute_CheckSettings:
		d.in("check_settings", func() { out.Config = d.checkSettings(s.CheckSettings) })
	default:
		d.fail("neither disabled nor check_settings")
	}
	return out
}

func (d *decoder) checkSettings(c *authzv3.CheckSettings) *config.ExtAuthz {
	if c.GetServiceOverride() != nil {
		d.failIn("service_override", "not supported")
	}
	d.noEffect(c.GetWithRequestBody() != nil, "with_request_body")
	return &config.ExtAuthz{
		ContextExtras: maps.Clone(c.GetContextExtensions()), DisableBody: c.GetDisableRequestBodyBuffering(),
		MaxRequestBytes: c.GetWithRequestBody().GetMaxRequestBytes(), AllowPartial: c.GetWithRequestBody().GetAllowPartialMessage(),
		PackAsBytes: c.GetWithRequestBody().GetPackAsBytes(),
	}
}
