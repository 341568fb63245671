package rawjson

// document is a checked text whose values are made when somebody looks at them: of a pod, most never are.
type document struct {
	spans   []span
	left    int // values that aren't made yet
	values  slab[Value]
	parts   slab[parts]
	members slab[Member]
	items   slab[*Value]
}

// span is a list or object of a document; they stand in the order they start in.
type span struct {
	size  uint32 // of its text
	next  uint32 // the first that starts after its end
	parts uint32 // members or items
}

// value is one with this text; at is its place in spans if it is a list or object.
func (d *document) value(raw string, at uint32) *Value {
	v := &d.values.cut(1, d.left)[0]
	d.left--
	v.kind, v.raw = kindOf(raw[0]), raw
	if v.kind >= List {
		v.parts, v.at = &d.parts.cut(1, len(d.spans))[0], at
		v.parts.closed = d
	}
	return v
}

func kindOf(first byte) Kind {
	switch first {
	case '{':
		return Object
	case '[':
		return List
	case '"':
		return String
	case 't', 'f':
		return Bool
	case 'n':
		return Null
	}
	return Number
}

// open makes the members or items of a list or object.
func (v *Value) open() {
	p := v.parts
	d := p.closed
	p.closed = nil
	n := int(d.spans[v.at].parts)
	if n == 0 {
		return
	}
	d.values.reserve(n, d.left)
	r := reader{d: d, text: v.raw, pos: 1, at: v.at + 1}
	if v.kind == List {
		p.items = d.items.cut(n, d.left)
		for i := range p.items {
			p.items[i] = r.value()
		}
		return
	}
	p.members = d.members.cut(n, d.left)
	for i := range p.members {
		p.members[i] = Member{r.key(), r.value()}
	}
}

// reader goes over the parts of one list or object.
type reader struct {
	d    *document
	text string
	pos  int
	at   uint32 // the next span
}

// gap skips what stands between two parts.
func (r *reader) gap() {
	r.pos = skipSpace(r.text, r.pos)
	if c := r.text[r.pos]; c == ',' || c == ':' {
		r.pos = skipSpace(r.text, r.pos+1)
	}
}

func (r *reader) key() string {
	r.gap()
	from := r.pos
	r.pos = skipString(r.text, from)
	return unquote(r.text[from:r.pos])
}

func (r *reader) value() *Value {
	r.gap()
	from, at := r.pos, r.at
	switch r.text[from] {
	case '"':
		r.pos = skipString(r.text, from)
	case '{', '[':
		r.pos += int(r.d.spans[at].size)
		r.at = r.d.spans[at].next
	default:
		r.pos = skipScalar(r.text, from)
	}
	return r.d.value(r.text[from:r.pos], at)
}

// openAll makes a whole tree, which then no longer changes.
func (v *Value) openAll() {
	for _, m := range v.Members() {
		m.Value.openAll()
	}
	for _, item := range v.Items() {
		item.openAll()
	}
}
