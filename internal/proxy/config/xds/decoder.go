package xds

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// Bounds of one resource, so that no input costs more than its size is worth.
const (
	maxProblems = 64  // kept; the others are counted
	maxNotes    = 256 // kept
	maxDepth    = 128 // of nested messages that decoders follow
	maxReason   = 1024
	maxSegment  = 256 // of a path, in bytes
)

// decoder decodes one resource. It goes on after a problem, so that a NACK names all of them; what it returns then is
// never used.
type decoder struct {
	kind, name string
	cells      Cells
	path       []segment
	problems   []Problem
	lost       int
	needs      Needs
	named      map[string]bool // needs by kind and name
	strings    map[string]string
	regexes    map[string]*config.Regex
	insecure   bool // allow_insecure_cluster_options
	namesTLS   bool // upstream_http_protocol_options were there
	// instructions of all regexes so far.
	instructions int
}

// segment is a step into a message: field, field[index] if index ≥ 0, and the name of what is there, if it has one that
// a message should tell.
type segment struct {
	field string
	index int
	name  string
}

func newDecoder(kind string, raw []byte, cells Cells) *decoder {
	if cells == nil {
		cells = Fresh{}
	}
	return &decoder{kind: kind, name: Name(raw), cells: cells}
}

// Name is a resource's name, "" if there is none: all kinds have it as field 1.
func Name(raw []byte) string {
	for len(raw) > 0 {
		number, kind, n := protowire.ConsumeTag(raw)
		if n < 0 {
			return ""
		}
		raw = raw[n:]
		if number == 1 && kind == protowire.BytesType {
			value, _ := protowire.ConsumeBytes(raw)
			return strings.ToValidUTF8(string(value), "�")
		}
		if n = protowire.ConsumeFieldValue(number, kind, raw); n < 0 {
			return ""
		}
		raw = raw[n:]
	}
	return ""
}

// in runs f inside a field.
func (d *decoder) in(field string, f func()) { d.step(segment{field, -1, ""}, f) }

// at runs f inside an element of a repeated field.
func (d *decoder) at(field string, index int, f func()) { d.step(segment{field, index, ""}, f) }

// step runs f inside what s leads to, unless that is nested too deeply.
func (d *decoder) step(s segment, f func()) {
	d.path = append(d.path, s)
	if len(d.path) > maxDepth {
		d.fail("nested too deeply")
	} else {
		f()
	}
	d.path = d.path[:len(d.path)-1]
}

// fail notes a problem with what the decoder is inside of.
func (d *decoder) fail(format string, args ...any) {
	if len(d.problems) >= maxProblems {
		d.lost++
		return
	}
	d.problems = append(d.problems, Problem{d.where(), clip(fmt.Sprintf(format, args...), maxReason)})
}

// failIn notes a problem with a field of what the decoder is inside of.
func (d *decoder) failIn(field, format string, args ...any) {
	d.in(field, func() { d.fail(format, args...) })
}

// where is the path, with the innermost name behind it.
func (d *decoder) where() string {
	var out strings.Builder
	name := ""
	for i, s := range d.path {
		if i > 0 {
			out.WriteByte('.')
		}
		out.WriteString(clip(s.field, maxSegment))
		if s.index >= 0 {
			out.WriteString("[" + strconv.Itoa(s.index) + "]")
		}
		if s.name != "" {
			name = s.name
		}
	}
	if name != "" {
		out.WriteString(" (" + excerpt(name) + ")")
	}
	return out.String()
}

func (d *decoder) note(kind NoteKind, what string) {
	if len(d.needs.Notes) < maxNotes {
		d.needs.Notes = append(d.needs.Notes, Note{kind, d.where(), excerpt(what)})
	}
}

// noEffect notes a field that is set and does nothing.
func (d *decoder) noEffect(set bool, field string) {
	if set {
		d.note(NoEffect, field)
	}
}

func (d *decoder) err() error {
	if len(d.problems) == 0 {
		return nil
	}
	return &Error{Kind: d.kind, Name: d.name, Problems: d.problems, Lost: d.lost}
}

// parse unmarshals raw into m and counts the fields it doesn't know.
func (d *decoder) parse(raw []byte, m proto.Message) bool {
	if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(raw, m); err != nil {
		d.fail("not a %s: %s", m.ProtoReflect().Descriptor().FullName(), plain(err))
		return false
	}
	// Without unknown fields a message is as long as its bytes; to walk through all of it costs much more. Bytes that
	// aren't minimal cost the walk, too.
	if proto.Size(m) != len(raw) && proto.Unmarshal(raw, m) == nil {
		d.countUnknown(m.ProtoReflect())
	}
	return true
}

// plain is an error's text without the prefix by which package proto marks its own, whose blank varies on purpose.
func plain(err error) string {
	if errors.Is(err, proto.Error) {
		return strings.TrimLeft(strings.TrimPrefix(err.Error(), "proto:"), " \u00a0")
	}
	return err.Error()
}

// intern returns s, sharing the memory of an equal string of this resource.
func (d *decoder) intern(s string) string {
	if s == "" {
		return ""
	}
	if known, ok := d.strings[s]; ok {
		return known
	}
	if d.strings == nil {
		d.strings = map[string]string{}
	}
	d.strings[s] = s
	return s
}
