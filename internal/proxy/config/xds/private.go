package xds

import "google.golang.org/protobuf/encoding/protowire"

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
