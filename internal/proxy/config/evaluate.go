package config

import (
	"slices"
	"strconv"
	"strings"
)

// Match reports whether a header with this value matches; there is false if it is missing. As in Envoy a missing header
// matches no value, inverted or not, unless it counts as empty.
func (m *HeaderMatch) Match(value string, there bool) bool {
	there = there || m.MissingIsEmpty
	switch {
	case m.Value != nil:
		return there && m.Value.Match(value) != m.Invert
	case m.Range != nil:
		return there && m.Range.holds(value) != m.Invert
	default:
		return (there == (m.Present == nil || *m.Present)) != m.Invert
	}
}

func (r *Range) holds(value string) bool {
	n, err := strconv.ParseInt(value, 10, 64)
	return err == nil && r.Start <= n && n < r.End
}

// Match reports whether a query parameter with this value matches; there is false if it is missing.
func (m *QueryMatch) Match(value string, there bool) bool {
	if m.Value != nil {
		return there && m.Value.Match(value)
	}
	return there == (m.Present == nil || *m.Present)
}

// Match reports whether the metadata, by filter name, has a matching value at the path.
func (m *MetadataMatch) Match(metadata map[string]map[string]any) bool {
	value, there := m.find(metadata)
	return m.Value.Match(value, there) != m.Invert
}

func (m *MetadataMatch) find(metadata map[string]map[string]any) (any, bool) {
	return (&MetadataKey{m.Filter, m.Path}).Find(metadata)
}

// Find returns the value at the key, if there is one.
func (k *MetadataKey) Find(metadata map[string]map[string]any) (any, bool) {
	level, there := metadata[k.Filter]
	if !there || len(k.Path) == 0 {
		return nil, false
	}
	for _, key := range k.Path[:len(k.Path)-1] {
		if level, there = level[key].(map[string]any); !there {
			return nil, false
		}
	}
	value, there := level[k.Path[len(k.Path)-1]]
	return value, there
}

// Match reports whether a value matches: nil, bool, float64, string, []any or map[string]any; there is false if it is
// missing.
func (m *ValueMatch) Match(value any, there bool) bool {
	if m.Present != nil {
		return there == *m.Present
	}
	if !there {
		return false
	}
	switch v := value.(type) {
	case nil:
		return m.Null || m.either(value)
	case string:
		return m.String != nil && m.String.Match(v) || m.either(value)
	case bool:
		return m.Bool != nil && *m.Bool == v || m.either(value)
	case float64:
		return m.number(v) || m.either(value)
	case []any:
		return m.List != nil && slices.ContainsFunc(v, func(each any) bool { return m.List.Match(each, true) }) || m.either(value)
	default:
		return m.either(value)
	}
}

func (m *ValueMatch) number(v float64) bool {
	return m.Number != nil && *m.Number == v || m.Range != nil && m.Range[0] <= v && v < m.Range[1]
}

func (m *ValueMatch) either(value any) bool {
	for i := range m.Or {
		if m.Or[i].Match(value, true) {
			return true
		}
	}
	return false
}

// Apply replaces what matches in text. In the substitution \0 to \9 stand for groups and \\ for one backslash, as RE2
// has it.
func (r *RegexRewrite) Apply(text string) string {
	return r.Pattern.Replace(text, goTemplate(r.Substitution))
}

func goTemplate(substitution string) string {
	if !strings.ContainsAny(substitution, `\$`) {
		return substitution
	}
	var b strings.Builder
	for i := 0; i < len(substitution); i++ {
		c := substitution[i]
		next := byte(0)
		if c == '\\' && i+1 < len(substitution) {
			next = substitution[i+1]
		}
		switch {
		case c == '$':
			b.WriteString("$$")
		case next >= '0' && next <= '9':
			b.WriteString("${" + string(next) + "}")
			i++
		case next == '\\':
			b.WriteByte('\\')
			i++
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}
