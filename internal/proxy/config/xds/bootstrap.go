package xds

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sort"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	corsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/cors/v3"
	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// maxBootstrap bounds a bootstrap in bytes.
const maxBootstrap = 16 << 20

// bootstrapParts are the parts of a bootstrap that mean something here.
var bootstrapParts = []protoreflect.Name{
	"node", "static_resources", "dynamic_resources", "admin", "stats_config", "layered_runtime", "tracing", "cluster_manager",
	"stats_flush_interval",
}

// Bootstrap decodes an Envoy bootstrap in JSON or YAML. Further texts are merged into it, as --config-yaml is: single
// fields replace, lists grow. The error is an *Error.
func Bootstrap(texts ...[]byte) (*BootstrapConfig, error) {
	d := newDecoder("bootstrap", nil, nil)
	var m bootstrapv3.Bootstrap
	out := &BootstrapConfig{}
	for _, text := range texts {
		d.mergeBootstrap(text, &m, out)
	}
	if d.name = m.GetNode().GetId(); d.err() != nil {
		return nil, d.err()
	}
	d.bootstrap(&m, out)
	out.Notes = d.needs.Notes
	if err := d.err(); err != nil {
		return nil, err
	}
	return out, nil
}

func (d *decoder) mergeBootstrap(text []byte, into *bootstrapv3.Bootstrap, out *BootstrapConfig) {
	text, err := toJSON(text)
	if err != nil {
		d.fail("%s", err)
		return
	}
	known := &types{}
	var m bootstrapv3.Bootstrap
	if err = (protojson.UnmarshalOptions{Resolver: known}).Unmarshal(text, &m); err != nil {
		out.UnknownFields = plain(err)
		err = protojson.UnmarshalOptions{Resolver: known, DiscardUnknown: true}.Unmarshal(text, &m)
	}
	if err != nil {
		d.fail("not a %s: %s", m.ProtoReflect().Descriptor().FullName(), plain(err))
		return
	}
	for _, url := range known.unknown {
		d.note(NoEffect, url)
	}
	proto.Merge(into, &m)
}

// toJSON turns YAML into JSON; JSON stays as it is.
func toJSON(text []byte) ([]byte, error) {
	if len(text) > maxBootstrap {
		return nil, fmt.Errorf("%d bytes are more than %d", len(text), maxBootstrap)
	}
	if json.Valid(text) {
		return text, nil
	}
	var any map[string]any
	if err := yaml.Unmarshal(text, &any); err != nil {
		return nil, fmt.Errorf("neither JSON nor YAML: %w", err)
	}
	if any == nil {
		return nil, errors.New("empty")
	}
	return json.Marshal(any)
}

// types finds the messages of extensions. Those this program doesn't have are read as empty ones, so that an extension
// nobody needs doesn't cost the whole bootstrap.
type types struct{ unknown []string }

func (t *types) FindMessageByName(name protoreflect.FullName) (protoreflect.MessageType, error) {
	return protoregistry.GlobalTypes.FindMessageByName(name)
}

func (t *types) FindMessageByURL(url string) (protoreflect.MessageType, error) {
	m, err := protoregistry.GlobalTypes.FindMessageByURL(url)
	if err != nil {
		if !slices.Contains(t.unknown, url) {
			t.unknown = append(t.unknown, url)
		}
		return (&corsv3.Cors{}).ProtoReflect().Type(), nil
	}
	return m, nil
}

func (t *types) FindExtensionByName(name protoreflect.FullName) (protoreflect.ExtensionType, error) {
	return protoregistry.GlobalTypes.FindExtensionByName(name)
}

func (t *types) FindExtensionByNumber(m protoreflect.FullName, n protoreflect.FieldNumber) (protoreflect.ExtensionType, error) {
	return protoregistry.GlobalTypes.FindExtensionByNumber(m, n)
}

func (d *decoder) bootstrap(m *bootstrapv3.Bootstrap, out *BootstrapConfig) {
	out.Raw = marshal(m)
	out.Node = bootNode(m.Node)
	d.staticResources(m.StaticResources, out)
	d.in("dynamic_resources", func() { d.dynamicResources(m.DynamicResources, out) })
	d.in("admin", func() { d.admin(m.Admin, out) })
	d.in("stats_config", func() { d.statsConfig(m.StatsConfig, out) })
	d.in("layered_runtime", func() { d.layers(m.LayeredRuntime, out) })
	out.FlushInterval = d.duration("stats_flush_interval", m.GetStatsFlushInterval(), 5*time.Second)
	d.in("tracing.http", func() { out.Tracing = d.traceProvider(m.GetTracing().GetHttp()) })
	out.LocalCluster = m.GetClusterManager().GetLocalClusterName()
	out.DeferCluster = m.GetClusterManager().GetEnableDeferredClusterCreation()
	d.bootRest(m)
}

// bootRest notes the parts that have no effect.
func (d *decoder) bootRest(m *bootstrapv3.Bootstrap) {
	m.ProtoReflect().Range(func(f protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		if !slices.Contains(bootstrapParts, f.Name()) {
			d.note(NoEffect, string(f.Name()))
		}
		return true
	})
	sort.Slice(d.needs.Notes, func(i, j int) bool {
		a, b := d.needs.Notes[i], d.needs.Notes[j]
		return a.Path+"\x00"+a.What < b.Path+"\x00"+b.What
	})
}

func marshal(m proto.Message) []byte {
	raw, _ := proto.MarshalOptions{Deterministic: true, AllowPartial: true}.Marshal(m) // it was parsed, so it can be written
	return raw
}

func bootNode(n *corev3.Node) Node {
	if n == nil {
		return Node{}
	}
	return Node{
		Raw: marshal(n), ID: n.Id, Cluster: n.Cluster, Metadata: n.GetMetadata().AsMap(),
		Region: n.GetLocality().GetRegion(), Zone: n.GetLocality().GetZone(), SubZone: n.GetLocality().GetSubZone(),
	}
}

func (d *decoder) staticResources(s *bootstrapv3.Bootstrap_StaticResources, out *BootstrapConfig) {
	for _, l := range s.GetListeners() {
		out.Listeners = append(out.Listeners, marshal(l))
	}
	for _, c := range s.GetClusters() {
		out.Clusters = append(out.Clusters, marshal(c))
	}
	for _, secret := range s.GetSecrets() {
		out.Secrets = append(out.Secrets, marshal(secret))
	}
}

func (d *decoder) dynamicResources(r *bootstrapv3.Bootstrap_DynamicResources, out *BootstrapConfig) {
	d.in("ads_config", func() { d.adsConfig(r.GetAdsConfig(), &out.ADS) })
	if r.GetCdsConfig() != nil {
		d.in("cds_config", func() { out.CDS = new(d.configSource(r.CdsConfig)) })
	}
	if r.GetLdsConfig() != nil {
		d.in("lds_config", func() { out.LDS = new(d.configSource(r.LdsConfig)) })
	}
	d.noEffect(r.GetCdsResourcesLocator() != "", "cds_resources_locator")
	d.noEffect(r.GetLdsResourcesLocator() != "", "lds_resources_locator")
}

func (d *decoder) adsConfig(a *corev3.ApiConfigSource, out *ADSConfig) {
	if a == nil {
		return
	}
	switch a.ApiType {
	case corev3.ApiConfigSource_GRPC, corev3.ApiConfigSource_AGGREGATED_GRPC:
	case corev3.ApiConfigSource_DELTA_GRPC, corev3.ApiConfigSource_AGGREGATED_DELTA_GRPC:
		out.Delta = true
	default:
		d.failIn("api_type", "%s is not supported", a.ApiType)
	}
	out.NodeOnce = a.SetNodeOnFirstMessageOnly
	for i, s := range a.GrpcServices {
		d.at("grpc_services", i, func() {
			if i == 0 {
				d.adsService(s, out)
			} else {
				d.note(NoEffect, "grpc_services")
			}
		})
	}
	if out.Cluster == "" && out.Target == "" {
		d.failIn("grpc_services", "neither envoy_grpc nor google_grpc")
	}
}

func (d *decoder) adsService(s *corev3.GrpcService, out *ADSConfig) {
	out.Cluster, out.Target = s.GetEnvoyGrpc().GetClusterName(), s.GetGoogleGrpc().GetTargetUri()
	out.Timeout = d.duration("timeout", s.GetTimeout(), 0)
	for _, h := range s.GetInitialMetadata() {
		out.Metadata = append(out.Metadata, [2]string{h.GetKey(), h.GetValue()})
	}
}

func (d *decoder) admin(a *bootstrapv3.Admin, out *BootstrapConfig) {
	if a == nil {
		return
	}
	out.ProfilePath = a.ProfilePath
	if p := a.GetAddress().GetPipe(); p != nil {
		out.AdminPipe = p.Path
	} else if a.Address != nil {
		d.in("address", func() { out.AdminAddress = d.socket(a.Address).String() })
	}
	d.noEffect(len(a.AccessLog) > 0 || a.AccessLogPath != "", "access_log")
	d.noEffect(len(a.AllowPaths) > 0, "allow_paths")
	d.noEffect(a.IgnoreGlobalConnLimit, "ignore_global_conn_limit")
}
