package xds

import (
	"math"
	"time"
)

func (d *decoder) readFields(message string, fields map[string]any, schema []field) object {
	out := object{}
	for name, v := range fields {
		f := fieldNamed(schema, name)
		if f == nil {
			d.addUnknown(message, 1)
			continue
		}
		if value, ok := d.readField(message, f, v); ok {
			out[f.name] = value
		} else if v != nil {
			d.fail("not a %s: field %s has another type", message, f.name)
		}
	}
	return out
}

// fieldNamed takes a field's name and its JSON name.
func fieldNamed(schema []field, name string) *field {
	for i := range schema {
		if schema[i].name == name || camel(schema[i].name) == name {
			return &schema[i]
		}
	}
	return nil
}

func camel(name string) string {
	out := make([]byte, 0, len(name))
	for i := 0; i < len(name); i++ {
		if name[i] == '_' && i+1 < len(name) {
			i++
			out = append(out, name[i]-'a'+'A')
			continue
		}
		out = append(out, name[i])
	}
	return string(out)
}

func (d *decoder) readField(message string, f *field, v any) (any, bool) {
	if !f.repeated {
		return d.readValue(message, f, v)
	}
	list, ok := v.([]any)
	if !ok {
		return nil, false
	}
	out := make([]any, 0, len(list))
	for _, each := range list {
		value, ok := d.readValue(message, f, each)
		if !ok {
			return nil, false
		}
		out = append(out, value)
	}
	return out, true
}

func (d *decoder) readValue(message string, f *field, v any) (any, bool) {
	switch f.kind {
	case asText:
		s, ok := v.(string)
		return d.intern(s), ok
	case asBool:
		b, ok := v.(bool)
		return b, ok
	case asEnum:
		return readEnum(f, v)
	case asDuration:
		s, _ := v.(string)
		t, err := time.ParseDuration(s)
		return t, err == nil && t >= 0
	case asTextMap:
		return readTextMap(v)
	default:
		m, ok := v.(map[string]any)
		if !ok {
			return nil, false
		}
		return d.readFields(message, m, f.message), true
	}
}

func readEnum(f *field, v any) (any, bool) {
	switch v := v.(type) {
	case string:
		for i, name := range f.values {
			if name == v {
				return i, true
			}
		}
	case float64:
		if v == math.Trunc(v) && v >= 0 && v < float64(len(f.values)) {
			return int(v), true
		}
	}
	return nil, false
}

func readTextMap(v any) (any, bool) {
	m, ok := v.(map[string]any)
	if !ok {
		return nil, false
	}
	out := make(map[string]string, len(m))
	for key, each := range m {
		if out[key], ok = each.(string); !ok {
			return nil, false
		}
	}
	return out, true
}
