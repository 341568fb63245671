package agent

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/pillion-mesh/pillion/internal/istio"
)

// maxProxyConfig bounds one ProxyConfig in bytes, before it is parsed.
const maxProxyConfig = 128 << 10

// proxyConfig is one of the ProxyConfigs that count for this pod. Its fields are scalars and mappings, by JSON names.
type proxyConfig struct {
	from   string // for messages
	fields map[string]any
}

// proxyConfigs are those there are, from weak to strong: the mesh's, the variable's, the pod's own.
func (r *reader) proxyConfigs(annotations map[string]string) (all []proxyConfig) {
	if mesh := r.mapping("/"+meshConfigFile, r.file(meshConfigFile)); mesh != nil {
		fields, _ := mesh["defaultConfig"].(map[string]any)
		all = append(all, proxyConfig{"/" + meshConfigFile, fields})
	}
	for _, c := range []struct{ from, text string }{
		{"PROXY_CONFIG", r.env["PROXY_CONFIG"]},
		{"annotation " + istio.AnnotationProxyConfig, annotations[istio.AnnotationProxyConfig]},
	} {
		all = append(all, proxyConfig{c.from, r.mapping(c.from, c.text)})
	}
	for i := range all {
		all[i].fields = jsonNames(all[i].fields)
		r.noteUnknown(all[i])
	}
	return all
}

// mapping reads YAML, which JSON is too. What is none is told of and counts as empty.
func (r *reader) mapping(from, text string) map[string]any {
	if strings.TrimSpace(text) == "" {
		return nil
	}
	if len(text) > maxProxyConfig {
		r.note("%s: %d bytes are more than %d", from, len(text), maxProxyConfig)
		return nil
	}
	var m map[string]any
	if err := yaml.Unmarshal([]byte(text), &m); err != nil {
		r.note("%s: it is no mapping in YAML or JSON: %v", from, err)
		return nil
	}
	return m
}

// jsonNames are fields under their names in JSON; YAML may have those of the protobuf.
func jsonNames(fields map[string]any) map[string]any {
	named := make(map[string]any, len(fields))
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		parts := strings.Split(name, "_")
		for i, part := range parts[1:] {
			if part != "" {
				parts[i+1] = strings.ToUpper(part[:1]) + part[1:]
			}
		}
		named[strings.Join(parts, "")] = fields[name]
	}
	return named
}

func (r *reader) noteUnknown(c proxyConfig) {
	for _, name := range slices.Sorted(maps.Keys(c.fields)) {
		if !slices.Contains(istio.ProxyConfigFields[:], name) {
			r.note("%s: field %q", c.from, name)
		}
	}
}

// addMetadata makes environment of proxyMetadata. What the container's environment says is stronger: the injector writes
// the same into it, and the pod's own istio-proxy may say otherwise.
func (r *reader) addMetadata(configs []proxyConfig) {
	added := map[string]string{}
	for _, c := range configs {
		metadata, _ := c.fields["proxyMetadata"].(map[string]any)
		for name, value := range metadata {
			added[name] = scalar(value)
		}
	}
	for name, value := range added {
		if _, set := r.env[name]; !set {
			r.env[name] = value
		}
	}
}

// fromProxyConfig takes in the fields that are the agent's. What the injector makes of others is in the environment.
func (s *Settings) fromProxyConfig(r *reader, c proxyConfig) {
	at := func(name string) (value, where string) {
		value = scalar(c.fields[name])
		return value, c.from + ": " + name
	}
	if value, where := at("concurrency"); value != "" {
		r.concurrencyOf(where, value, &s.Concurrency)
	}
	if value, where := at("statusPort"); value != "" {
		r.portOf(where, value, &s.StatusPort)
	}
	if value, where := at("terminationDrainDuration"); value != "" {
		most := time.Duration(-1)
		if r.durationOf(where, value, &most); most >= 0 {
			s.MostDrain = &most
		}
	}
	for name, to := range s.drainDurations() {
		if value, where := at(name); value != "" {
			r.durationOf(where, value, to)
		}
	}
	if value, _ := at("discoveryAddress"); value != "" {
		s.DiscoveryAddress = value
	}
	if value, _ := at("serviceCluster"); value != "" {
		s.ServiceCluster = value
	}
}

// fromAnnotations takes in those that stand above every ProxyConfig.
func (s *Settings) fromAnnotations(r *reader, annotations map[string]string) {
	if address := annotations[istio.AnnotationDiscoveryAddress]; address != "" {
		s.DiscoveryAddress = address
	}
	switch port := annotations[istio.AnnotationStatusPort]; port {
	case "":
	case "0":
		s.StatusPort = 0
	default:
		r.portOf("annotation "+istio.AnnotationStatusPort, port, &s.StatusPort)
	}
}

// scalar is a value as text; "" if there is none, or it is no scalar. Durations are strings, numbers may be.
func scalar(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case int:
		return strconv.Itoa(v)
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return strconv.FormatInt(int64(v), 10)
		}
		return fmt.Sprint(v)
	}
	return ""
}
