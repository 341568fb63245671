package xds

import (
	"slices"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// httpFilters decodes a manager's filters. The router must be the last and only the last. Two of one name are usual: a
// DENY and an ALLOW of RBAC.
func (d *decoder) httpFilters(list []*hcmv3.HttpFilter, out *config.HTTPManager) {
	for i, f := range list {
		d.step(segment{"http_filters", i, f.GetName()}, func() {
			d.httpFilter(f, i == len(list)-1, out)
		})
	}
	if len(list) == 0 {
		d.failIn("http_filters", "no router")
	}
}

func (d *decoder) httpFilter(f *hcmv3.HttpFilter, last bool, out *config.HTTPManager) {
	if c := f.GetConfigDiscovery(); c != nil {
		d.in("config_discovery", func() { d.lateFilter(f, c, out) })
		if last {
			d.fail("router is not last")
		}
		return
	}
	t := d.open(f.GetTypedConfig())
	switch isRouter := t.message == routerType; {
	case isRouter && last:
		d.router(t, out)
		return
	case isRouter || last:
		d.fail("router is not last")
		if isRouter {
			return
		}
	}
	if filter := d.filterConfig(f.GetName(), t, f.GetIsOptional()); filter != nil {
		filter.Disabled = f.GetDisabled()
		out.Filters = append(out.Filters, *filter)
	}
}

// filterConfig decodes a filter; nil: it is left out or refused.
func (d *decoder) filterConfig(name string, t typed, optional bool) *config.HTTPFilter {
	i := slices.IndexFunc(httpFilters, func(k httpFilterType) bool { return k.message == t.message })
	if i < 0 {
		d.refuse(name, "not supported", optional)
		return nil
	}
	switch k := httpFilters[i]; {
	case k.level == built:
		return &config.HTTPFilter{Name: d.intern(name), Config: k.decode(d, t)}
	case k.level == counts:
		d.note(Degraded, name)
	case k.failOpen != nil && k.failOpen(d, t):
		d.note(Skipped, name)
	default:
		d.refuse(name, k.level.reason(), optional)
	}
	return nil
}

// refuse refuses an extension, or skips it if whoever sent it says that this is possible.
func (d *decoder) refuse(name, reason string, optional bool) {
	if optional {
		d.note(Skipped, name)
		return
	}
	d.fail("%s", reason)
}

func (d *decoder) router(t typed, out *config.HTTPManager) {
	var m routerv3.Router
	if !d.into(t, &m) {
		return
	}
	out.Router = config.Router{
		SuppressHeaders: m.SuppressEnvoyHeaders, StartChildSpan: m.StartChildSpan, UpstreamLogs: d.accessLogs("upstream_log", m.UpstreamLog),
	}
	d.noEffect(m.UpstreamLogOptions != nil, "upstream_log_options")
	if len(m.UpstreamHttpFilters) > 0 {
		d.failIn("upstream_http_filters", "not supported")
	}
	d.noEffect(len(m.StrictCheckHeaders) > 0, "strict_check_headers")
	d.noEffect(m.RespectExpectedRqTimeout, "respect_expected_rq_timeout")
}

// lateFilter is a filter that comes by ECDS.
func (d *decoder) lateFilter(f *hcmv3.HttpFilter, c *corev3.ExtensionConfigSource, out *config.HTTPManager) {
	name := d.intern(f.GetName())
	ref := ExtensionRef{Ref: Ref{Name: name}, Types: slices.Clone(c.GetTypeUrls()), ServeDefault: c.GetApplyDefaultConfigWithoutWarming()}
	d.in("config_source", func() { ref.Source = d.configSource(c.GetConfigSource()) })
	if c.GetDefaultConfig() != nil {
		d.in("default_config", func() { ref.Default = d.defaultFilter(name, c.GetDefaultConfig()) })
	}
	if d.first("extension", name) {
		d.needs.Extensions = append(d.needs.Extensions, ref)
	}
	out.Filters = append(out.Filters, config.HTTPFilter{Name: name, Disabled: f.GetDisabled(), Late: d.cells.Filter(name)})
}

func (d *decoder) defaultFilter(name string, a *anypb.Any) *config.HTTPFilter {
	if filter := d.filterConfig(name, d.open(a), false); filter != nil {
		return filter
	}
	return &config.HTTPFilter{Name: name}
}

// extension decodes a resource of ECDS.
func (d *decoder) extension(raw []byte) *config.HTTPFilter {
	var m corev3.TypedExtensionConfig
	if !d.parse(raw, &m) {
		return nil
	}
	var out *config.HTTPFilter
	d.step(segment{"typed_config", -1, m.Name}, func() { out = d.filterConfig(m.Name, d.open(m.TypedConfig), false) })
	if out == nil {
		return &config.HTTPFilter{Name: m.Name}
	}
	return out
}

// overrides decodes typed_per_filter_config.
func (d *decoder) overrides(m map[string]*anypb.Any) config.Overrides {
	if len(m) == 0 {
		return nil
	}
	out := make(config.Overrides, len(m))
	for _, name := range sortedKeys(m) {
		d.step(segment{"typed_per_filter_config", -1, name}, func() {
			if o, ok := d.override(name, m[name]); ok {
				out[d.intern(name)] = o
			}
		})
	}
	return out
}

func (d *decoder) override(name string, a *anypb.Any) (out config.Override, ok bool) {
	t := d.open(a)
	optional := false
	if t.message == "envoy.config.route.v3.FilterConfig" {
		var m routev3.FilterConfig
		if !d.into(t, &m) {
			return out, false
		}
		if m.Disabled || m.GetConfig().GetTypeUrl() == "" {
			return config.Override{Disabled: m.Disabled}, true
		}
		optional, t = m.IsOptional, d.open(m.Config)
	}
	return d.overrideConfig(name, t, optional)
}

func (d *decoder) overrideConfig(name string, t typed, optional bool) (out config.Override, ok bool) {
	i := slices.IndexFunc(httpFilters, func(k httpFilterType) bool { return k.override != "" && k.override == t.message })
	if i < 0 {
		d.refuse(name, "not supported", optional)
		return out, false
	}
	switch k := httpFilters[i]; {
	case k.level == counts:
		d.note(Degraded, name)
		return out, false
	case k.level != built:
		d.refuse(name, k.level.reason(), optional)
		return out, false
	case k.decodeOverride != nil:
		return k.decodeOverride(d, t), true
	default:
		return config.Override{Config: k.decode(d, t)}, true
	}
}

// Fields of envoy.extensions.filters.*.wasm.v3.Wasm and of its PluginConfig, which aren't linked for two values' sake.
var wasmSchema = []field{{number: 1, name: "config", kind: asMessage, message: []field{
	{number: 5, name: "fail_open", kind: asBool},
	{number: 7, name: "failure_policy", kind: asEnum, values: []string{"UNSPECIFIED", "FAIL_RELOAD", "FAIL_CLOSED", "FAIL_OPEN"}},
}}}

// failOpen is FAIL_OPEN of FailurePolicy.
const failOpen = 3

// wasmFailsOpen reports whether traffic may pass without the plugin. Its other fields are of no interest.
func (d *decoder) wasmFailsOpen(t typed) bool {
	quiet := &decoder{cells: Fresh{}}
	plugin := quiet.private(t, wasmSchema).object("config")
	return plugin.truth("fail_open") || plugin.enum("failure_policy") == failOpen
}
