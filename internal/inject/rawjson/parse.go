package rawjson

import (
	"fmt"
	"math"
	"strings"
)

// maxDepth bounds nesting: a pod needs about 12 levels, and the parser recurses.
const maxDepth = 256

// Error is text that is no JSON.
type Error struct {
	Offset  int
	Message string
}

func (e *Error) Error() string { return fmt.Sprintf("%s at byte %d", e.Message, e.Offset) }

// Parse reads one whole document. The tree keeps parts of text, and so all of it.
func Parse(text string) (*Value, error) { return ParseTo(text, maxDepth) }

// ParseTo reads a document down to this depth; what lies deeper is checked and stays text (Raw), without members and
// items.
func ParseTo(text string, depth int) (*Value, error) { return parse(text, depth, math.MaxInt) }

// ParseUpTo reads a document of at most this many values. A value takes some 36 times the two bytes that make one, so
// whoever reads what strangers send needs the bound.
func ParseUpTo(text string, values int) (*Value, error) { return parse(text, maxDepth, values) }

func parse(text string, depth, values int) (*Value, error) {
	p := parser{text: text, deep: depth, left: values}
	p.reserve()
	p.space()
	v := p.value(0)
	p.space()
	if p.err == nil && p.pos < len(text) {
		p.fail("unexpected text after the document")
	}
	if p.err != nil {
		return nil, p.err
	}
	return v, nil
}

// maxBlock bounds what is allocated at once, in values: a pod of 2000 variables has 6000.
const maxBlock = 8 << 10

// reserve makes room for all there can be, up to a block: a value after each comma and opening bracket, a member at each
// colon. Text inside of strings makes it too much, so more than a block must show itself first.
func (p *parser) reserve() {
	if p.deep < maxDepth {
		p.values = make([]Value, 0, 56) // an envelope
		return
	}
	values := min(1+strings.Count(p.text, ",")+strings.Count(p.text, "{")+strings.Count(p.text, "["), maxBlock)
	members := min(strings.Count(p.text, ":"), values)
	p.values = make([]Value, 0, values)
	p.members.free = make([]Member, 0, members)
	p.items.free = make([]*Value, 0, max(8, values-members))
}

// parser allocates values, members and items in blocks: one small document is a handful of allocations.
type parser struct {
	text string
	pos  int
	deep int
	left int // values there may still be
	err  *Error

	values  []Value
	members block[Member]
	items   block[*Value]
}

// block collects the parts of nested lists on one stack and cuts finished ones out of larger slices.
type block[T any] struct {
	stack []T
	free  []T
}

func (b *block[T]) finish(from int) []T {
	n := len(b.stack) - from
	if n == 0 {
		return nil
	}
	if cap(b.free)-len(b.free) < n {
		b.free = make([]T, 0, max(32, n))
	}
	at := len(b.free)
	b.free = append(b.free, b.stack[from:]...)
	b.stack = b.stack[:from]
	return b.free[at : at+n : at+n]
}

func (p *parser) fail(message string) {
	if p.err == nil {
		p.err = &Error{Offset: p.pos, Message: message}
		p.pos = len(p.text)
	}
}

func (p *parser) space() {
	for p.pos < len(p.text) {
		switch p.text[p.pos] {
		case ' ', '\n', '\t', '\r':
			p.pos++
		default:
			return
		}
	}
}

func (p *parser) peek() byte {
	if p.pos < len(p.text) {
		return p.text[p.pos]
	}
	return 0
}

func (p *parser) expect(c byte, message string) bool {
	if p.peek() != c || p.err != nil {
		p.fail(message)
		return false
	}
	p.pos++
	return true
}

func (p *parser) new(kind Kind, from int) *Value {
	if len(p.values) == cap(p.values) {
		p.values = make([]Value, 0, min(max(64, 2*cap(p.values)), maxBlock))
	}
	p.values = append(p.values, Value{kind: kind, raw: p.text[from:p.pos]})
	return &p.values[len(p.values)-1]
}

// value reads what starts here; nil below the wanted depth, and after an error.
func (p *parser) value(depth int) *Value {
	from := p.pos
	var kind Kind
	var members []Member
	var items []*Value
	switch c := p.peek(); c {
	case '{':
		kind, members = Object, p.object(depth)
	case '[':
		kind, items = List, p.list(depth)
	case '"':
		kind = String
		p.string()
	case 't':
		kind = Bool
		p.word("true")
	case 'f':
		kind = Bool
		p.word("false")
	case 'n':
		p.word("null")
	default:
		kind = Number
		p.number()
	}
	if p.err != nil || depth > p.deep {
		return nil
	}
	if p.left--; p.left < 0 {
		p.fail("more values than there may be in one document")
		return nil
	}
	v := p.new(kind, from)
	v.members, v.items = members, items
	return v
}

func (p *parser) object(depth int) []Member {
	if depth >= maxDepth {
		p.fail("nested too deeply")
		return nil
	}
	from := len(p.members.stack)
	p.pos++
	for p.space(); p.peek() != '}'; {
		at := p.pos
		if p.peek() != '"' {
			p.fail("want a field name in quotes")
			return nil
		}
		p.string()
		end := p.pos
		p.space()
		if !p.expect(':', "want : after a field name") {
			return nil
		}
		p.space()
		value := p.value(depth + 1)
		if value != nil {
			p.members.stack = append(p.members.stack, Member{unquote(p.text[at:end]), value})
		}
		if !p.next('}') {
			return nil
		}
	}
	p.pos++
	return p.members.finish(from)
}

func (p *parser) list(depth int) []*Value {
	if depth >= maxDepth {
		p.fail("nested too deeply")
		return nil
	}
	from := len(p.items.stack)
	p.pos++
	for p.space(); p.peek() != ']'; {
		if value := p.value(depth + 1); value != nil {
			p.items.stack = append(p.items.stack, value)
		}
		if !p.next(']') {
			return nil
		}
	}
	p.pos++
	return p.items.finish(from)
}

// next goes to the next part, or stays before the end; a comma must be followed by a part.
func (p *parser) next(end byte) bool {
	p.space()
	if p.err != nil || p.peek() == end {
		return p.err == nil
	}
	if !p.expect(',', "want a comma or the end of the list or object") {
		return false
	}
	p.space()
	if p.peek() == end {
		p.fail("nothing after a comma")
		return false
	}
	return true
}

func (p *parser) word(word string) {
	if !strings.HasPrefix(p.text[p.pos:], word) {
		p.fail("unknown word")
		return
	}
	p.pos += len(word)
}

func (p *parser) string() {
	text := p.text
	for i := p.pos + 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			p.pos = i + 1
			return
		case c == '\\':
			n := escape(text[i+1:])
			if n == 0 {
				p.pos = i
				p.fail("bad escape in a string")
				return
			}
			i += n
		case c < 0x20:
			p.pos = i
			p.fail("control character in a string")
			return
		}
	}
	p.pos = len(text)
	p.fail("string without an end")
}

// escape is the length of an escape after its backslash; 0 if it is none.
func escape(text string) int {
	if text == "" {
		return 0
	}
	switch text[0] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 1
	case 'u':
		if len(text) < 5 {
			return 0
		}
		for _, c := range []byte(text[1:5]) {
			if !isHex(c) {
				return 0
			}
		}
		return 5
	}
	return 0
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func (p *parser) number() {
	if p.peek() == '-' {
		p.pos++
	}
	if p.peek() == '0' {
		p.pos++
	} else if p.digits() == 0 {
		p.fail("want a value")
		return
	}
	if p.peek() == '.' {
		p.pos++
		if p.digits() == 0 {
			p.fail("want digits after the point")
			return
		}
	}
	if c := p.peek(); c == 'e' || c == 'E' {
		p.pos++
		if c := p.peek(); c == '+' || c == '-' {
			p.pos++
		}
		if p.digits() == 0 {
			p.fail("want digits in the exponent")
		}
	}
}

func (p *parser) digits() int {
	from := p.pos
	for c := p.peek(); '0' <= c && c <= '9'; c = p.peek() {
		p.pos++
	}
	return p.pos - from
}
