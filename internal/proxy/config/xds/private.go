package xds

import (
	"math"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// Istio's own messages aren't linked: a schema of a few lines each is enough to read them, from bytes or from the fields
// of a TypedStruct, into the same plain form.

// fieldKind is the type of a field of a schema.
type fieldKind uint8

const (
	asText fieldKind = iota
	asBool
	asEnum
	asDuration
	asMessage
	asTextMap
)

// field is one field of a schema. Fields not in it are unknown.
type field struct {
	number   protowire.Number
	name     string
	kind     fieldKind
	repeated bool
	message  []field  // of asMessage
	values   []string // of asEnum
}

// object is a message read by a schema: texts, bools, numbers of enums, durations, objects, maps of texts, and lists of
// these as []any.
type object map[string]any

func (o object) text(name string) string   { return as[string](o[name]) }
func (o object) truth(name string) bool    { return as[bool](o[name]) }
func (o object) has(name string) bool      { _, there := o[name]; return there }
func (o object) enum(name string) int      { return as[int](o[name]) }
func (o object) list(name string) []any    { return as[[]any](o[name]) }
func (o object) object(name string) object { return as[object](o[name]) }

func as[T any](v any) T {
	value, _ := v.(T)
	return value
}

// objects are the messages of a repeated field.
func (o object) objects(name string) []object {
	var out []object
	for _, v := range o.list(name) {
		out = append(out, as[object](v))
	}
	return out
}

func (o object) texts(name string) []string {
	var out []string
	for _, v := range o.list(name) {
		out = append(out, as[string](v))
	}
	return out
}

// private reads a message of Istio's.
func (d *decoder) private(t typed, schema []field) object {
	if t.fields != nil {
		return d.readFields(t.message, t.fields.AsMap(), schema)
	}
	return d.readWire(t.message, t.raw, schema, 0)
}

// maxPrivateDepth is more than any schema nests.
const maxPrivateDepth = 8

func (d *decoder) readWire(message string, raw []byte, schema []field, depth int) object {
	out := object{}
	for len(raw) > 0 && depth < maxPrivateDepth {
		number, kind, n := protowire.ConsumeTag(raw)
		size := protowire.ConsumeFieldValue(number, kind, raw[max(n, 0):])
		if n < 0 || size < 0 {
			d.fail("not a %s: invalid wire format", message)
			return out
		}
		value := raw[n : n+size]
		raw = raw[n+size:]
		f := fieldNumbered(schema, number)
		if f == nil {
			d.addUnknown(message, 1)
			continue
		}
		d.readWireField(message, f, kind, value, out, depth)
	}
	return out
}

func fieldNumbered(schema []field, number protowire.Number) *field {
	for i := range schema {
		if schema[i].number == number {
			return &schema[i]
		}
	}
	return nil
}

func (d *decoder) readWireField(message string, f *field, kind protowire.Type, value []byte, out object, depth int) {
	if (kind == protowire.VarintType) != (f.kind == asBool || f.kind == asEnum) || kind != protowire.VarintType && kind != protowire.BytesType {
		d.fail("not a %s: field %s has another type", message, f.name)
		return
	}
	if kind == protowire.VarintType {
		n, _ := protowire.ConsumeVarint(value)
		if f.kind == asBool {
			out[f.name] = n != 0
		} else {
			out[f.name] = int(min(n, math.MaxInt32))
		}
		return
	}
	payload, _ := protowire.ConsumeBytes(value)
	d.readWireBytes(message, f, payload, out, depth)
}

func (d *decoder) readWireBytes(message string, f *field, payload []byte, out object, depth int) {
	var value any
	switch f.kind {
	case asText:
		if !utf8.Valid(payload) {
			d.fail("not a %s: field %s is not UTF-8", message, f.name)
		}
		value = d.intern(string(payload))
	case asDuration:
		value = wireDuration(payload)
	case asTextMap:
		entry := d.readWire(message, payload, []field{{number: 1, name: "key"}, {number: 2, name: "value"}}, depth+1)
		addText(out, f.name, entry.text("key"), entry.text("value"))
		return
	default:
		value = d.readWire(message, payload, f.message, depth+1)
	}
	if f.repeated {
		value = append(out.list(f.name), value)
	}
	out[f.name] = value
}

func addText(out object, name, key, value string) {
	m := as[map[string]string](out[name])
	if m == nil {
		m = map[string]string{}
		out[name] = m
	}
	m[key] = value
}

// wireDuration reads a google.protobuf.Duration; beyond an hour or below zero it says zero: nothing here takes longer.
func wireDuration(raw []byte) time.Duration {
	var parts [3]uint64
	for len(raw) > 0 {
		number, kind, n := protowire.ConsumeTag(raw)
		if n < 0 {
			return 0
		}
		size := protowire.ConsumeFieldValue(number, kind, raw[n:])
		if size < 0 {
			return 0
		}
		if kind == protowire.VarintType && number < 3 {
			parts[number], _ = protowire.ConsumeVarint(raw[n:])
		}
		raw = raw[n+size:]
	}
	if parts[1] > 3600 || parts[2] >= 1e9 {
		return 0
	}
	return time.Duration(parts[1])*time.Second + time.Duration(parts[2])
}

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
