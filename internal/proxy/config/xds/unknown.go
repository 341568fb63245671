package xds

import (
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// maxUnknown bounds how many messages are named.
const maxUnknown = 256

// countUnknown counts the fields of m and of the messages in it that this program's Envoy types don't have.
func (d *decoder) countUnknown(m protoreflect.Message) {
	if unknown := m.GetUnknown(); len(unknown) > 0 {
		d.addUnknown(string(m.Descriptor().FullName()), fields(unknown))
	}
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		d.countUnknownIn(field, value)
		return true
	})
}

func (d *decoder) countUnknownIn(field protoreflect.FieldDescriptor, value protoreflect.Value) {
	switch {
	case field.IsMap():
		if field.MapValue().Message() != nil {
			value.Map().Range(func(_ protoreflect.MapKey, each protoreflect.Value) bool {
				d.countUnknown(each.Message())
				return true
			})
		}
	case field.Message() == nil:
	case field.IsList():
		for i := range value.List().Len() {
			d.countUnknown(value.List().Get(i).Message())
		}
	default:
		d.countUnknown(value.Message())
	}
}

func (d *decoder) addUnknown(message string, n int) {
	if d.needs.Unknown == nil {
		d.needs.Unknown = map[string]int{}
	}
	if _, there := d.needs.Unknown[message]; there || len(d.needs.Unknown) < maxUnknown {
		d.needs.Unknown[message] += n
	}
}

func fields(raw []byte) (n int) {
	for len(raw) > 0 {
		_, _, size := protowire.ConsumeField(raw)
		if size < 0 {
			return n
		}
		raw = raw[size:]
		n++
	}
	return n
}
