package dump

import (
	"bufio"
	"bytes"
	"encoding/json"
	"iter"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// section is one message of the dump: what it says by itself, then its lists, whose elements are made when written.
type section struct {
	head  proto.Message
	lists []elementList
	mask  *tree  // nil: everything
	only  string // name of the list whose elements stand alone
}

type elementList struct {
	name     string
	elements iter.Seq[proto.Message]
}

func (s *section) descriptor() protoreflect.MessageDescriptor {
	return s.head.ProtoReflect().Descriptor()
}

func (s *section) write(w *writer) {
	if s.only != "" {
		s.writeElements(w)
		return
	}
	w.open(s.head, s.mask)
	for _, l := range s.lists {
		if s.mask.has(l.name) {
			w.list(l)
		}
	}
	w.text("\n  }")
}

func (s *section) writeElements(w *writer) {
	for _, l := range s.lists {
		if l.name != s.only {
			continue
		}
		for m := range l.elements {
			w.open(m, s.mask)
			w.text("\n  }")
		}
	}
}

// writer writes JSON with Envoy's indentation of one blank. Its errors come out of Flush.
type writer struct {
	*bufio.Writer
	written int // elements of configs
	buffer  bytes.Buffer
}

func (w *writer) text(s string) { _, _ = w.WriteString(s) }

// open begins an element of configs with its type and the message's own fields. The closing brace is the caller's.
func (w *writer) open(m proto.Message, mask *tree) {
	if w.written++; w.written > 1 {
		w.text(",")
	}
	name, _ := json.Marshal("type.googleapis.com/" + string(m.ProtoReflect().Descriptor().FullName()))
	w.text("\n  {\n   \"@type\": ")
	_, _ = w.Write(name)
	redact(m.ProtoReflect())
	mask.trim(m.ProtoReflect())
	fields := bytes.TrimSpace(marshal(m))
	if fields = bytes.TrimSpace(fields[1 : len(fields)-1]); len(fields) == 0 {
		return
	}
	w.text(",\n   ")
	w.indented([]byte("{"+string(fields)+"}"), "  ", true)
}

// indented writes an object, or with bare set only what is between its braces.
func (w *writer) indented(data []byte, prefix string, bare bool) {
	w.buffer.Reset()
	if err := json.Indent(&w.buffer, data, prefix, " "); err != nil {
		return // protojson makes JSON
	}
	out := w.buffer.Bytes()
	if bare {
		out = bytes.TrimSpace(out[1 : len(out)-1])
	}
	_, _ = w.Write(out)
}

func (w *writer) list(l elementList) {
	first := true
	for m := range l.elements {
		if first {
			w.text(",\n   \"" + l.name + "\": [\n    ")
		} else {
			w.text(",\n    ")
		}
		first = false
		redact(m.ProtoReflect())
		w.indented(marshal(m), "    ", false)
	}
	if !first {
		w.text("\n   ]")
	}
}

// marshal makes JSON of a message. One that can't be shown, which decoders should have refused, is shown without what it
// holds.
func marshal(m proto.Message) []byte {
	data, err := (protojson.MarshalOptions{UseProtoNames: true, Resolver: resolver{}}).Marshal(m)
	if err == nil {
		return data
	}
	dropAny(m.ProtoReflect())
	if data, err = (protojson.MarshalOptions{UseProtoNames: true, Resolver: resolver{}}).Marshal(m); err == nil {
		return data
	}
	return []byte("{}")
}

// dropAny clears the packed messages of an element.
func dropAny(m protoreflect.Message) {
	m.Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case field.Message() == nil || field.IsList() || field.IsMap():
		case field.Message().FullName() == anyName:
			m.Clear(field)
		default:
			dropAny(v.Message())
		}
		return true
	})
}
