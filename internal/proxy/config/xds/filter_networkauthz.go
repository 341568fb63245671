package xds

import (
	"slices"

	authzv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/ext_authz/v3"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

func (d *decoder) networkExtAuthz(t typed) any {
	var m authzv3.ExtAuthz
	if !d.into(t, &m) {
		return nil
	}
	out := &config.ExtAuthz{
		StatPrefix: d.intern(m.StatPrefix), FailureAllow: m.FailureModeAllow, IncludePeer: m.IncludePeerCertificate, TLSSession: m.IncludeTlsSession,
		Metadata: slices.Clone(m.MetadataContextNamespaces),
	}
	if m.StatPrefix == "" {
		d.failIn("stat_prefix", "empty")
	}
	d.in("grpc_service", func() { d.authzGRPC(m.GrpcService, out) })
	d.apiV3(m.TransportApiVersion)
	if m.FilterEnabledMetadata != nil {
		d.in("filter_enabled_metadata", func() { out.EnabledMetadata = d.metadataMatch(m.FilterEnabledMetadata) })
	}
	if m.ShadowMode {
		d.failIn("shadow_mode", "not supported")
	}
	d.noEffect(m.BootstrapMetadataLabelsKey != "", "bootstrap_metadata_labels_key")
	d.noEffect(m.SendTlsAlertOnDenial, "send_tls_alert_on_denial")
	d.noEffect(len(m.TypedMetadataContextNamespaces) > 0, "typed_metadata_context_namespaces")
	return out
}
