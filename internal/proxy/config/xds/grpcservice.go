package xds

import (
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
)

// grpcService decodes where a filter asks; the timeout is the filter's business.
func (d *decoder) grpcService(s *corev3.GrpcService) (cluster, authority string, metadata [][2]string) {
	e := s.GetEnvoyGrpc()
	if e.GetClusterName() == "" {
		d.fail("no envoy_grpc with a cluster name")
	}
	for i, h := range s.GetInitialMetadata() {
		name := strings.ToLower(h.GetKey())
		if !isToken(name) || strings.ContainsAny(h.GetValue(), "\r\n\x00") {
			d.at("initial_metadata", i, func() { d.fail("%q can't be a header", excerpt(h.GetKey())) })
		}
		metadata = append(metadata, [2]string{name, h.GetValue()})
	}
	d.noEffect(s.GetRetryPolicy() != nil || e.GetRetryPolicy() != nil, "retry_policy")
	d.noEffect(e.GetMaxReceiveMessageLength() != nil, "max_receive_message_length")
	d.noEffect(e.GetSkipEnvoyHeaders(), "skip_envoy_headers")
	return d.intern(e.GetClusterName()), d.intern(e.GetAuthority()), metadata
}

// apiV3 refuses a service that is to be spoken to in another version than the third. Not to say one means that too.
func (d *decoder) apiV3(v corev3.ApiVersion) {
	if v != corev3.ApiVersion_V3 && v != corev3.ApiVersion_AUTO {
		d.failIn("transport_api_version", "not V3")
	}
}
