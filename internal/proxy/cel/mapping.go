package cel

import (
	"strings"

	"github.com/pillion-mesh/pillion/internal/proxy/format"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// object is a map of metadata.
type object map[string]any

func (o object) find(key value) (value, bool) {
	v, there := o[key.str]
	if key.kind != stringKind || !there {
		return value{}, false
	}
	return native(v), true
}

func (o object) size() int { return len(o) }

func (o object) keys(take func(value) bool) {
	for k := range o {
		if !take(stringValue(k)) {
			return
		}
	}
}

// entries is a map that an expression has written down, in its order.
type entries []entry

type entry struct{ key, value value }

func (e entries) find(key value) (value, bool) {
	for i := range e {
		if e[i].key.equal(key) {
			return e[i].value, true
		}
	}
	return value{}, false
}

func (e entries) size() int { return len(e) }

func (e entries) keys(take func(value) bool) {
	for i := range e {
		if !take(e[i].key) {
			return
		}
	}
}

// headers is the head or tail of a message: its names have no case, several values are one with commas.
type headers stream.Fields

func (h *headers) fields() *stream.Fields { return (*stream.Fields)(h) }

func (h *headers) find(key value) (value, bool) {
	text, there := h.fields().Joined(strings.ToLower(key.str))
	return stringValue(text), there && key.kind == stringKind
}

func (h *headers) size() int { return h.fields().Len() }

func (h *headers) keys(take func(value) bool) {
	f := h.fields()
	for i := range f.Len() {
		if name := f.At(i).Name; first(f, name) == i && !take(stringValue(name)) {
			return
		}
	}
}

func first(f *stream.Fields, name string) int {
	for i := range f.Len() {
		if f.At(i).Name == name {
			return i
		}
	}
	return -1
}

// requestHeaders are headers with the names that HTTP/2 gives to what isn't one.
type requestHeaders stream.Request

func (r *requestHeaders) headers() *headers { return (*headers)(&r.Fields) }

func (r *requestHeaders) find(key value) (value, bool) {
	text, there := (*stream.Request)(r).Joined(strings.ToLower(key.str))
	return stringValue(text), there && key.kind == stringKind
}

func (r *requestHeaders) size() int { return r.headers().size() }

func (r *requestHeaders) keys(take func(value) bool) { r.headers().keys(take) }

// filterState has keys of anybody's choosing: what filters left, and peers.
type filterState stream.Exchange

func (s *filterState) find(key value) (value, bool) {
	v := format.FilterState((*stream.Exchange)(s), key.str)
	if key.kind != stringKind || v == nil {
		return value{}, false
	}
	return native(v), true
}

func (s *filterState) size() int { return len(s.FilterState) }

func (s *filterState) keys(take func(value) bool) {
	for k := range s.FilterState {
		if !take(stringValue(k)) {
			return
		}
	}
}

// metadata is by filter; a filter of HTTP covers one of the connection.
type metadata stream.Exchange

func (m *metadata) find(key value) (value, bool) {
	fields, there := m.Metadata[key.str]
	if !there {
		fields, there = m.Conn.Metadata[key.str]
	}
	if key.kind != stringKind || !there {
		return value{}, false
	}
	return mapValue(object(fields)), true
}

func (m *metadata) size() (n int) {
	m.keys(func(value) bool { n++; return true })
	return n
}

func (m *metadata) keys(take func(value) bool) {
	for k := range m.Metadata {
		if !take(stringValue(k)) {
			return
		}
	}
	for k := range m.Conn.Metadata {
		if _, covered := m.Metadata[k]; !covered && !take(stringValue(k)) {
			return
		}
	}
}
