package xds

import (
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
)

// defaultFetchTimeout is Envoy's initial_fetch_timeout.
const defaultFetchTimeout = 15 * time.Second

// configSource decodes where a resource comes from. Unset means: the way the naming resource came.
func (d *decoder) configSource(c *corev3.ConfigSource) ConfigSource {
	out := ConfigSource{FetchTimeout: d.duration("initial_fetch_timeout", c.GetInitialFetchTimeout(), defaultFetchTimeout)}
	switch s := c.GetConfigSourceSpecifier().(type) {
	case nil, *corev3.ConfigSource_Ads, *corev3.ConfigSource_Self:
		out.ADS = true
	case *corev3.ConfigSource_PathConfigSource:
		out.Path = s.PathConfigSource.GetPath()
	case *corev3.ConfigSource_Path:
		out.Path = s.Path
	case *corev3.ConfigSource_ApiConfigSource:
		d.in("api_config_source", func() { d.apiSource(s.ApiConfigSource, &out) })
	}
	return out
}

func (d *decoder) apiSource(a *corev3.ApiConfigSource, out *ConfigSource) {
	switch a.GetApiType() {
	case corev3.ApiConfigSource_GRPC:
	case corev3.ApiConfigSource_DELTA_GRPC:
		out.Delta = true
	case corev3.ApiConfigSource_AGGREGATED_GRPC, corev3.ApiConfigSource_AGGREGATED_DELTA_GRPC:
		out.ADS = true
		return
	default:
		d.failIn("api_type", "%s is not supported", a.GetApiType())
	}
	for _, s := range a.GetGrpcServices() {
		out.Cluster = s.GetEnvoyGrpc().GetClusterName()
	}
	if out.Cluster == "" {
		d.failIn("grpc_services", "no envoy_grpc with a cluster name")
	}
}

// need adds a name to one of the lists of Needs, once.
func (d *decoder) need(kind string, list *[]Ref, name string, source ConfigSource) {
	if d.first(kind, name) {
		*list = append(*list, Ref{Name: name, Source: source})
	}
}

func (d *decoder) first(kind, name string) bool {
	key := kind + "\x00" + name
	if d.named[key] {
		return false
	}
	if d.named == nil {
		d.named = map[string]bool{}
	}
	d.named[key] = true
	return true
}

// source reads a data source; files are read by the cells. On a problem the answer is empty.
func (d *decoder) source(s *corev3.DataSource) []byte {
	switch s := s.GetSpecifier().(type) {
	case *corev3.DataSource_InlineBytes:
		return s.InlineBytes
	case *corev3.DataSource_InlineString:
		return []byte(s.InlineString)
	case *corev3.DataSource_Filename:
		content, err := d.cells.File(s.Filename)
		if err != nil {
			d.failIn("filename", "%s", err)
		}
		return content
	case *corev3.DataSource_EnvironmentVariable:
		d.failIn("environment_variable", "not supported")
	}
	return nil
}
