package xds

import hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

// managerExtensions refuses extensions that decide who a client is or what a request says.
func (d *decoder) managerExtensions(m *hcmv3.HttpConnectionManager) {
	for i, e := range m.EarlyHeaderMutationExtensions {
		d.step(segment{"early_header_mutation_extensions", i, e.GetName()}, func() { d.fail("not supported") })
	}
	if m.ForwardClientCertMatcher != nil {
		d.failIn("forward_client_cert_matcher", "not supported")
	}
	if e := m.GetRequestIdExtension().GetTypedConfig(); e != nil && d.open(e).message != uuidRequestIDType {
		d.note(Degraded, "request_id_extension")
	}
}

func (d *decoder) managerNoEffect(m *hcmv3.HttpConnectionManager) {
	d.noEffect(truth(m.AddUserAgent, false), "add_user_agent")
	d.noEffect(m.PathNormalizationOptions != nil, "path_normalization_options")
	d.noEffect(m.ProxyStatusConfig != nil, "proxy_status_config")
	d.noEffect(m.TypedHeaderValidationConfig != nil, "typed_header_validation_config")
	d.noEffect(m.SchemeHeaderTransformation != nil, "scheme_header_transformation")
	d.noEffect(m.AccessLogFlushInterval != nil || m.GetAccessLogOptions().GetAccessLogFlushInterval() != nil, "access_log_flush_interval")
	d.noEffect(m.ForwardProtoConfig != nil, "forward_proto_config")
	d.noEffect(m.GetInternalAddressConfig().GetUnixSockets(), "internal_address_config.unix_sockets")
	d.noEffect(m.DelayedCloseTimeout != nil, "delayed_close_timeout")
	d.noEffect(m.Http3ProtocolOptions != nil, "http3_protocol_options")
}
