// Package rawjson is a JSON document as a tree whose untouched parts stay the text they came as: fields we never heard
// of, number spelling and key order survive, and writing a part out is a copy. Values are immutable: changing one makes
// a new one that shares the rest. Text comes in (parse.go), becomes values as they are looked at (open.go), and goes out
// (write.go). Read this file first.
package rawjson

import (
	"encoding/json"
	"strings"
)

// Kind of a value.
type Kind uint8

// Kinds.
const (
	Null Kind = iota
	Bool
	Number
	String
	List
	Object
)

// Value is one JSON value. Don't change one after it is built; they are shared.
type Value struct {
	kind  Kind
	at    uint32 // in the spans of parts.closed
	raw   string // JSON text; empty for lists and objects that were built
	parts *parts // of a list or object
}

// parts are what a list or object consists of. Most values are neither, and so small.
type parts struct {
	members []Member
	items   []*Value
	closed  *document // to read members or items from when somebody wants them; then nil
}

// Member is one field of an object.
type Member struct {
	Key   string
	Value *Value
}

// Kind says what v is; a nil value is Null.
func (v *Value) Kind() Kind {
	if v == nil {
		return Null
	}
	return v.kind
}

// Members of an object, in order; nil for others.
func (v *Value) Members() []Member {
	if v == nil || v.parts == nil {
		return nil
	}
	if v.parts.closed != nil {
		v.open()
	}
	return v.parts.members
}

// Items of a list; nil for others.
func (v *Value) Items() []*Value {
	if v == nil || v.parts == nil {
		return nil
	}
	if v.parts.closed != nil {
		v.open()
	}
	return v.parts.items
}

// Len is how many items a list has; 0 for others.
func (v *Value) Len() int {
	switch {
	case v == nil || v.kind != List:
		return 0
	case v.parts.closed != nil:
		return int(v.parts.closed.spans[v.at].parts)
	}
	return len(v.parts.items)
}

// Raw is the JSON text of a parsed value and of scalars; empty for built lists and objects.
func (v *Value) Raw() string {
	if v == nil {
		return ""
	}
	return v.raw
}

// Get follows keys through objects; nil if one is missing.
func (v *Value) Get(keys ...string) *Value {
	for _, key := range keys {
		v = v.get(key)
	}
	return v
}

func (v *Value) get(key string) *Value {
	members := v.Members()
	for i := range members {
		if members[i].Key == key {
			return members[i].Value
		}
	}
	return nil
}

// Finder looks up many fields of one object: by walking a small one, by a map in a large one, so that comparing two
// objects doesn't take the square of their size.
type Finder struct {
	object *Value
	index  map[string]*Value
}

// few is up to where walking is faster than a map.
const few = 32

// Finder of v's fields. Where a field is there twice, the first counts, as it does for Get.
func (v *Value) Finder() Finder {
	f := Finder{object: v}
	if members := v.Members(); len(members) > few {
		f.index = make(map[string]*Value, len(members))
		for i := range members {
			if _, twice := f.index[members[i].Key]; !twice {
				f.index[members[i].Key] = members[i].Value
			}
		}
	}
	return f
}

// Get is the value of a field; nil if there is none.
func (f *Finder) Get(key string) *Value {
	if f.index != nil {
		return f.index[key]
	}
	return f.object.get(key)
}

// Has says whether an object has a field, be it null.
func (v *Value) Has(key string) bool { return v.get(key) != nil }

// Text is a string's value; empty for others.
func (v *Value) Text() string {
	if v == nil || v.kind != String {
		return ""
	}
	return unquote(v.raw)
}

// True says whether v is the boolean true.
func (v *Value) True() bool { return v != nil && v.kind == Bool && v.raw == "true" }

// unquote takes the short way for strings without escapes: a part of the document's text.
func unquote(raw string) string {
	if strings.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1]
	}
	var s string
	if json.Unmarshal([]byte(raw), &s) != nil {
		return ""
	}
	return s
}

// Map is an object's string fields; nil if there are none.
func (v *Value) Map() map[string]string {
	members := v.Members()
	if len(members) == 0 {
		return nil
	}
	m := make(map[string]string, len(members))
	for i := range members {
		if members[i].Value.Kind() == String {
			m[members[i].Key] = members[i].Value.Text()
		}
	}
	return m
}

// NewObject builds an object of these members, which it keeps.
func NewObject(members ...Member) *Value { return build(Object, parts{members: members}) }

// NewList builds a list of these items, which it keeps.
func NewList(items ...*Value) *Value { return build(List, parts{items: items}) }

func build(kind Kind, p parts) *Value {
	v := &struct {
		Value
		parts
	}{Value{kind: kind}, p}
	v.Value.parts = &v.parts
	return &v.Value
}

// NewString builds a string.
func NewString(s string) *Value { return &Value{kind: String, raw: Quote(s)} }

// NewScalar builds a value of a kind from its JSON text, which must be right.
func NewScalar(kind Kind, raw string) *Value { return &Value{kind: kind, raw: raw} }

var yes, no = &Value{kind: Bool, raw: "true"}, &Value{kind: Bool, raw: "false"}

// NewBool is a boolean.
func NewBool(b bool) *Value {
	if b {
		return yes
	}
	return no
}

// With returns a copy of an object in which key has this value; nil removes it. A nil v counts as an empty object.
func (v *Value) With(key string, value *Value) *Value {
	old := v.Members()
	members := make([]Member, 0, len(old)+1)
	found := false
	for _, m := range old {
		if m.Key != key {
			members = append(members, m)
			continue
		}
		found = true
		if value != nil {
			members = append(members, Member{key, value})
		}
	}
	if !found && value != nil {
		members = append(members, Member{key, value})
	}
	return NewObject(members...)
}
