package telemetry

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/format"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// overrides are PluginConfig.metrics, compiled: labels added, replaced or removed, metrics dropped. Filters with the
// same overrides share one.
type overrides struct {
	source  string
	labels  []extraLabel
	removed map[string][]string // by metric; "": of all
	dropped map[string]bool
}

// extraLabel is a label an override adds or replaces.
type extraLabel struct {
	metric, name string // metric "": all
	value        *format.Format
}

// intern returns the compiled overrides, nil for none.
func (s *istioSeries) intern(metrics []config.MetricOverride) *overrides {
	if len(metrics) == 0 {
		return nil
	}
	source, err := json.Marshal(metrics) // plain data always marshals; were it not so, nothing would be shared
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.overrides {
		if err == nil && o.source == string(source) {
			return o
		}
	}
	o := compileOverrides(metrics)
	o.source = string(source)
	s.overrides = append(s.overrides, o)
	return o
}

func compileOverrides(metrics []config.MetricOverride) *overrides {
	o := &overrides{removed: map[string][]string{}, dropped: map[string]bool{}}
	for _, m := range metrics {
		o.dropped[m.Name] = m.Drop
		o.removed[m.Name] = append(o.removed[m.Name], m.Remove...)
		for _, name := range slices.Sorted(maps.Keys(m.Labels)) {
			o.labels = append(o.labels, extraLabel{m.Name, name, compileLabel(m.Labels[name])})
		}
	}
	return o
}

// compileLabel compiles a label's value: operators of logs, or an attribute expression as Istio has them. One that
// can't be understood is unknown, as it is with Istio.
func compileLabel(source *config.Format) *format.Format {
	if source == nil {
		return nil
	}
	compile := format.CompileExpression
	if strings.Contains(source.Source, "%") {
		compile = format.CompileLine
	}
	f, err := compile(source.Source)
	if err != nil {
		return nil
	}
	return f
}

func (o *overrides) drops(metric string) bool {
	return o != nil && (o.dropped[metric] || o.dropped[""])
}

// values are the values of the labels added, each ended by a zero byte. If they are what they were before, no memory is
// taken.
func (o *overrides) values(x *stream.Exchange, before string) string {
	if len(o.labels) == 0 {
		return ""
	}
	var space [256]byte
	text := space[:0]
	for i := range o.labels {
		start := len(text)
		if o.labels[i].value != nil {
			text = o.labels[i].value.Append(text, x)
		}
		for j := start; j < len(text); j++ {
			if text[j] == 0 {
				text[j] = ' '
			}
		}
		text = append(text, 0)
	}
	if string(text) == before {
		return before
	}
	return string(text)
}

// clear empties the fields of labels no metric has any more, so that they make no series: that is what most people
// remove labels for.
func (o *overrides) clear(k *istioKey) {
	for _, name := range o.removed[""] {
		switch name {
		case "response_flags":
			k.flags = 0
		case "response_code":
			k.code = 0
		case "grpc_response_status":
			k.grpc = -1
		case "connection_security_policy":
			k.security = ""
		case "destination_service":
			k.service.Host = ""
		case "destination_service_name":
			k.service.Name = ""
		case "destination_service_namespace":
			k.service.Namespace = ""
		default:
			k.source.clear(name, "source_")
			k.destination.clear(name, "destination_")
		}
	}
}

func (p *party) clear(name, prefix string) {
	for label, field := range map[string]*string{
		"workload": &p.workload, "workload_namespace": &p.namespace, "principal": &p.principal, "app": &p.app,
		"version": &p.version, "canonical_service": &p.service, "canonical_revision": &p.revision, "cluster": &p.cluster,
	} {
		if prefix+label == name {
			*field = ""
		}
	}
}

// apply changes the label pairs of a metric. extra are the values of the labels added.
func (o *overrides) apply(pairs []string, metric, extra string) []string {
	if o == nil {
		return pairs
	}
	for _, label := range o.labels {
		var value string
		value, extra, _ = strings.Cut(extra, "\x00")
		if label.metric == "" || label.metric == metric {
			pairs = setPair(pairs, label.name, cmp.Or(value, unknown))
		}
	}
	for _, names := range [][]string{o.removed[""], o.removed[metric]} {
		for _, name := range names {
			pairs = removePair(pairs, name)
		}
	}
	return pairs
}

func setPair(pairs []string, name, value string) []string {
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i] == name {
			pairs[i+1] = value
			return pairs
		}
	}
	return append(pairs, sanitize(name), value)
}

func removePair(pairs []string, name string) []string {
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i] == name {
			return slices.Delete(pairs, i, i+2)
		}
	}
	return pairs
}
