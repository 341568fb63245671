package inject

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	yamlnode "go.yaml.in/yaml/v3"
	"sigs.k8s.io/yaml"

	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
	"github.com/pillion-mesh/pillion/internal/istio"
)

// Bounds of the annotation with a whole ProxyConfig, and of the variable made of it: JSON may be longer than its YAML, and
// Linux starts no process with a variable of 128 KiB.
const (
	maxProxyConfig     = 32 << 10
	maxProxyConfigJSON = 64 << 10
)

// proxyField takes in one field of ProxyConfig.
type proxyField func(s *settings, value *rawjson.Value) error

// proxyFields are the fields of Istio's ProxyConfig. Those without a function mean nothing to our proxy.
var proxyFields = map[string]proxyField{
	"concurrency":                     fieldConcurrency,
	"holdApplicationUntilProxyStarts": fieldHold,
	"statusPort":                      fieldStatusPort,
	"image":                           fieldImage,
	"proxyMetadata":                   fieldMetadata,
	"interceptionMode":                fieldMode,
	"discoveryAddress":                fieldText,
	"serviceCluster":                  fieldText,
	"drainDuration":                   fieldDuration,
	"parentShutdownDuration":          fieldDuration,
	"terminationDrainDuration":        fieldDuration,

	"availabilityZone": nil, "binaryPath": nil, "caCertificatesPem": nil, "configPath": nil, "connectTimeout": nil,
	"controlPlaneAuthPolicy": nil, "customConfigFile": nil, "envoyAccessLogService": nil, "envoyMetricsService": nil,
	"envoyMetricsServiceAddress": nil, "extraStatTags": nil, "fileFlushInterval": nil, "fileFlushMinSizeKb": nil,
	"gatewayTopology": nil, "meshId": nil, "privateKeyProvider": nil, "proxyAdminPort": nil,
	"proxyBootstrapTemplatePath": nil, "proxyHeaders": nil, "proxyStatsMatcher": nil, "readinessProbe": nil,
	"runtimeValues": nil, "statNameLength": nil, "statsCompression": nil,
	"statsdUdpAddress": nil, "tracing": nil, "tracingServiceName": nil, "zipkinAddress": nil,
}

// setProxyConfig takes in a ProxyConfig. Fields that have no effect here warn, unknown ones too: Istio's newest are
// always unknown to somebody. The whole of it goes to the agent.
func setProxyConfig(s *settings, value string) error {
	config, err := parseProxyConfig(value)
	if err != nil {
		return err
	}
	for _, m := range config.Members() {
		take, known := proxyFields[m.Key]
		switch {
		case !known:
			s.warnUnknownField(m.Key)
		case take == nil:
			s.warn("%s: %s has no effect", istio.AnnotationProxyConfig, m.Key)
		default:
			if err := take(s, m.Value); err != nil {
				return fmt.Errorf("%s: %w", m.Key, err)
			}
		}
	}
	if len(config.Members()) == 0 {
		return nil
	}
	variable := config.String()
	if len(variable) > maxProxyConfigJSON {
		return fmt.Errorf("as JSON it has %d bytes; want at most %d", len(variable), maxProxyConfigJSON)
	}
	s.env = append(s.env, EnvVar{"PROXY_CONFIG", variable})
	return nil
}

func parseProxyConfig(text string) (*rawjson.Value, error) {
	if len(text) > maxProxyConfig {
		return nil, fmt.Errorf("it has %d bytes; want at most %d", len(text), maxProxyConfig)
	}
	if err := writtenOut([]byte(text)); err != nil {
		return nil, err
	}
	doc, err := yaml.YAMLToJSONStrict([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("it is no YAML: %w", err)
	}
	config, err := rawjson.ParseUpTo(string(doc), maxNamedValues)
	if err != nil {
		return nil, err
	}
	if config.Kind() != rawjson.Object && config.Kind() != rawjson.Null {
		return nil, errors.New("it is no mapping; want a ProxyConfig, such as {concurrency: 2}")
	}
	var members []rawjson.Member
	for _, m := range config.Members() {
		members = append(members, rawjson.Member{Key: camelCase(m.Key), Value: m.Value})
	}
	return rawjson.NewObject(members...), nil
}

// writtenOut refuses anchors and aliases before anything follows them: a few kilobytes of those are gigabytes of JSON.
// This parser keeps an alias as such. What it can't read isn't given to another that might.
func writtenOut(text []byte) error {
	var doc yamlnode.Node
	if err := yamlnode.Unmarshal(text, &doc); err != nil {
		return fmt.Errorf("it is no YAML: %w", err)
	}
	return noAlias(&doc)
}

func noAlias(n *yamlnode.Node) error {
	if n.Anchor != "" || n.Kind == yamlnode.AliasNode {
		return fmt.Errorf("line %d: anchors and aliases aren't supported; write it out", n.Line)
	}
	for _, child := range n.Content {
		if err := noAlias(child); err != nil {
			return err
		}
	}
	return nil
}

// camelCase is a field's name in JSON: Istio takes that of the protobuf too.
func camelCase(name string) string {
	if !strings.Contains(name, "_") {
		return name
	}
	parts := strings.Split(name, "_")
	for i, part := range parts[1:] {
		if part != "" && part[0] >= 'a' && part[0] <= 'z' {
			parts[i+1] = strings.ToUpper(part[:1]) + part[1:]
		}
	}
	return strings.Join(parts, "")
}

func (s *settings) warnUnknownField(name string) {
	if len(s.warnings) >= maxWarnings {
		return // before the search for what was meant
	}
	message := fmt.Sprintf("%s: field %q is unknown and has no effect", istio.AnnotationProxyConfig, cut(name, 40))
	if near := nearestOf(name, slices.Sorted(maps.Keys(proxyFields))); near != "" {
		message += "; did you mean " + near + "?"
	}
	s.warn("%s", message)
}

func fieldConcurrency(s *settings, value *rawjson.Value) (err error) {
	s.concurrency, err = parseNumber(scalarText(value), 0, 1<<16)
	return err
}

func fieldStatusPort(s *settings, value *rawjson.Value) error {
	return setStatusPort(s, scalarText(value))
}

// scalarText is a number or a string.
func scalarText(v *rawjson.Value) string {
	if v.Kind() == rawjson.String {
		return v.Text()
	}
	return v.Raw()
}

func fieldHold(s *settings, value *rawjson.Value) error {
	if value.Kind() != rawjson.Bool {
		return errors.New("want true or false")
	}
	s.hold = value.True()
	return nil
}

func fieldImage(s *settings, value *rawjson.Value) error {
	kind := value.Get("imageType")
	if value.Kind() != rawjson.Object || kind.Kind() != rawjson.String {
		return errors.New("want {imageType: default} or {imageType: debug}")
	}
	if err := setImageType(s, kind.Text()); err != nil {
		return err
	}
	s.imageType.key, s.imageType.value = istio.AnnotationProxyConfig, "image: "+value.String()
	return nil
}

func fieldMode(s *settings, value *rawjson.Value) error { return setMode(s, scalarText(value)) }

func fieldText(_ *settings, value *rawjson.Value) error {
	if value.Kind() != rawjson.String {
		return errors.New("want a string; put it in quotes")
	}
	return nil
}

func fieldDuration(_ *settings, value *rawjson.Value) error {
	if d, err := time.ParseDuration(value.Text()); err != nil || d < 0 {
		return fmt.Errorf("%q is no duration; want one such as 45s", cut(scalarText(value), 40))
	}
	return nil
}

// variableName is what the API takes as an environment variable's name.
var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]{0,255}$`)

func fieldMetadata(s *settings, value *rawjson.Value) error {
	if value.Kind() != rawjson.Object {
		return errors.New("want a mapping of names to texts")
	}
	for _, m := range value.Members() {
		if !variableName.MatchString(m.Key) {
			return fmt.Errorf("%q is no name of an environment variable", cut(m.Key, 60))
		}
		if m.Value.Kind() != rawjson.String {
			return fmt.Errorf("%s: want a string; put it in quotes", m.Key)
		}
		s.env = append(s.env, EnvVar{m.Key, m.Value.Text()})
	}
	return nil
}
