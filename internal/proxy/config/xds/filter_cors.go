package xds

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	corsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/cors/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// cors is the filter; what it does stands in routes and virtual hosts.
func (d *decoder) cors(t typed) any {
	var m corsv3.Cors
	d.into(t, &m)
	return &config.CORS{}
}

func (d *decoder) corsOverride(t typed) config.Override {
	var m corsv3.CorsPolicy
	if !d.into(t, &m) {
		return config.Override{}
	}
	return config.Override{Config: d.corsPolicy(&m)}
}

// corsMessage is what the policy of the filter and the older one of routes have in common.
type corsMessage interface {
	GetAllowOriginStringMatch() []*matcherv3.StringMatcher
	GetAllowMethods() string
	GetAllowHeaders() string
	GetExposeHeaders() string
	GetMaxAge() string
	GetAllowCredentials() *wrapperspb.BoolValue
	GetAllowPrivateNetworkAccess() *wrapperspb.BoolValue
	GetForwardNotMatchingPreflights() *wrapperspb.BoolValue
	GetFilterEnabled() *corev3.RuntimeFractionalPercent
	GetShadowEnabled() *corev3.RuntimeFractionalPercent
}

func (d *decoder) corsPolicy(m corsMessage) *config.CORS {
	return &config.CORS{
		Origins: d.stringMatches("allow_origin_string_match", m.GetAllowOriginStringMatch()),
		Methods: d.intern(m.GetAllowMethods()), Headers: d.intern(m.GetAllowHeaders()),
		Expose: d.intern(m.GetExposeHeaders()), MaxAge: d.intern(m.GetMaxAge()),
		Credentials: truthPointer(m.GetAllowCredentials()), PrivateNetwork: truthPointer(m.GetAllowPrivateNetworkAccess()),
		ForwardUnmatched: truthPointer(m.GetForwardNotMatchingPreflights()),
		Enabled:          d.fraction("filter_enabled", m.GetFilterEnabled()), Shadow: d.fraction("shadow_enabled", m.GetShadowEnabled()),
	}
}

// routeCORS decodes the older field of routes and virtual hosts, nil if it isn't set.
func (d *decoder) routeCORS(m *routev3.CorsPolicy) (out *config.CORS) {
	if m != nil {
		d.in("cors", func() { out = d.corsPolicy(m) })
	}
	return out
}
