package dump

import (
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
)

// tree is a field mask: the fields that are kept. One without children keeps all that is below it; so does nil.
type tree struct{ children map[string]*tree }

func parseMask(mask string) *tree {
	root := &tree{children: map[string]*tree{}}
	for path := range strings.SplitSeq(mask, ",") {
		if path != "" {
			root.add(strings.Split(path, "."))
		}
	}
	return root
}

func (t *tree) add(path []string) {
	for i, name := range path {
		child, known := t.children[name]
		switch {
		case known && child.children == nil: // all of it is kept already
			return
		case !known:
			child = &tree{children: map[string]*tree{}}
			t.children[name] = child
		}
		if i == len(path)-1 {
			child.children = nil
		}
		t = child
	}
}

func (t *tree) has(name string) bool {
	return t == nil || t.children == nil || t.children[name] != nil
}

// fits reports whether all paths of a mask lead to fields. They don't lead through lists; through a packed message they
// lead if intoAny is set, because what is in it isn't known before.
func (t *tree) fits(d protoreflect.MessageDescriptor, intoAny bool) bool {
	if t == nil || t.children == nil {
		return true
	}
	if intoAny && d != nil && d.FullName() == anyName {
		return true
	}
	for name, child := range t.children {
		field := fieldOf(d, name)
		if field == nil {
			return false
		}
		below := field.Message()
		if field.IsList() || field.IsMap() {
			below = nil
		}
		if child.children != nil && (below == nil || !child.fits(below, intoAny)) {
			return false
		}
	}
	return true
}

func fieldOf(d protoreflect.MessageDescriptor, name string) protoreflect.FieldDescriptor {
	if d == nil {
		return nil
	}
	return d.Fields().ByName(protoreflect.Name(name))
}

// trim clears what the mask doesn't keep.
func (t *tree) trim(m protoreflect.Message) {
	if t == nil || t.children == nil {
		return
	}
	m.Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		child := t.children[string(field.Name())]
		switch {
		case child == nil:
			m.Clear(field)
		case child.children == nil || field.Message() == nil || field.IsList() || field.IsMap():
		case field.Message().FullName() == anyName:
			m.Set(field, protoreflect.ValueOfMessage(child.trimAny(v.Message())))
		default:
			child.trim(m.Mutable(field).Message())
		}
		return true
	})
}

// trimAny returns a packed message with what the mask keeps of it.
func (t *tree) trimAny(packed protoreflect.Message) protoreflect.Message {
	a, inner := unpack(packed)
	if inner == nil {
		return packed
	}
	t.trim(inner.ProtoReflect())
	return repack(a.GetTypeUrl(), inner, packed)
}

// unpack reads a packed message, nil if it can't be read.
func unpack(packed protoreflect.Message) (*anypb.Any, proto.Message) {
	a, ok := packed.Interface().(*anypb.Any)
	if !ok {
		return nil, nil
	}
	t, err := resolver{}.FindMessageByURL(a.GetTypeUrl())
	if err != nil {
		return nil, nil
	}
	inner := t.New().Interface()
	if err := (proto.UnmarshalOptions{Resolver: resolver{}}).Unmarshal(a.GetValue(), inner); err != nil {
		return nil, nil
	}
	return a, inner
}

func repack(url string, inner proto.Message, otherwise protoreflect.Message) protoreflect.Message {
	value, err := proto.MarshalOptions{Deterministic: true}.Marshal(inner)
	if err != nil {
		return otherwise
	}
	return (&anypb.Any{TypeUrl: url, Value: value}).ProtoReflect()
}
