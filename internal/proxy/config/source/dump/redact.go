package dump

import (
	"github.com/cncf/xds/go/udpa/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
)

// hidden stands for keys and passwords; JSON shows the bytes as base64.
const hidden = "[redacted]"

const dataSource = "envoy.config.core.v3.DataSource"

// redact replaces what Envoy's API marks as sensitive, in packed messages too. It reports whether there was any.
func redact(m protoreflect.Message) bool {
	changed := false
	m.Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case sensitive(field):
			hide(m, field)
			changed = true
		case field.IsMap():
			changed = redactMap(field, v.Map()) || changed
		case field.Message() == nil:
		case field.IsList():
			for i := range v.List().Len() {
				changed = redactMessage(v.List().Get(i).Message(), func(n protoreflect.Message) { v.List().Set(i, protoreflect.ValueOfMessage(n)) }) || changed
			}
		default:
			changed = redactMessage(v.Message(), func(n protoreflect.Message) { m.Set(field, protoreflect.ValueOfMessage(n)) }) || changed
		}
		return true
	})
	return changed
}

func redactMap(field protoreflect.FieldDescriptor, values protoreflect.Map) bool {
	if field.MapValue().Message() == nil {
		return false
	}
	changed := false
	values.Range(func(key protoreflect.MapKey, v protoreflect.Value) bool {
		changed = redactMessage(v.Message(), func(n protoreflect.Message) { values.Set(key, protoreflect.ValueOfMessage(n)) }) || changed
		return true
	})
	return changed
}

// redactMessage redacts a message in place; of a packed one it replaces the bytes.
func redactMessage(m protoreflect.Message, replace func(protoreflect.Message)) bool {
	if m.Descriptor().FullName() != anyName {
		return redact(m)
	}
	a, inner := unpack(m)
	if inner == nil || !redact(inner.ProtoReflect()) {
		return false
	}
	replace(repack(a.GetTypeUrl(), inner, (&anypb.Any{}).ProtoReflect()))
	return true
}

func sensitive(field protoreflect.FieldDescriptor) bool {
	options := field.Options()
	if options == nil || !options.ProtoReflect().IsValid() {
		return false
	}
	is, _ := proto.GetExtension(options, annotations.E_Sensitive).(bool)
	return is
}

// hide replaces the value of a field, of whatever kind it is.
func hide(m protoreflect.Message, field protoreflect.FieldDescriptor) {
	switch {
	case field.IsMap():
		m.Clear(field)
	case field.IsList():
		list := m.Mutable(field).List()
		for i := range list.Len() {
			if field.Message() != nil {
				hideMessage(list.Get(i).Message())
			} else {
				list.Set(i, redactedValue(field))
			}
		}
	case field.Message() != nil:
		hideMessage(m.Mutable(field).Message())
	default:
		m.Set(field, redactedValue(field))
	}
}

func redactedValue(field protoreflect.FieldDescriptor) protoreflect.Value {
	switch field.Kind() {
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte(hidden))
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(hidden)
	default:
		return field.Default()
	}
}

// hideMessage hides all of a message. A data source, whichever it is, becomes inline bytes.
func hideMessage(m protoreflect.Message) {
	d := m.Descriptor()
	if d.FullName() == dataSource {
		clearAll(m)
		m.Set(d.Fields().ByName("inline_bytes"), protoreflect.ValueOfBytes([]byte(hidden)))
		return
	}
	if d.FullName() == anyName {
		clearAll(m)
		return
	}
	m.Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		hide(m, field)
		return true
	})
}

func clearAll(m protoreflect.Message) {
	m.Range(func(field protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		m.Clear(field)
		return true
	})
	m.SetUnknown(nil)
}
