package rawjson

import (
	"errors"
	"fmt"
	"math"
)

// maxDepth bounds nesting: a pod needs about 12 levels, and the checker recurses.
const maxDepth = 256

// ErrTooMany is what an Error is where a document has more values than it may have.
var ErrTooMany = errors.New("more values than there may be in one document")

// Error is text that is no JSON, or too much of it.
type Error struct {
	Offset  int
	Message string
}

func (e *Error) Error() string { return fmt.Sprintf("%s at byte %d", e.Message, e.Offset) }

// Is is for errors.Is.
func (e *Error) Is(target error) bool { return target == ErrTooMany && e.Message == ErrTooMany.Error() }

// Parse reads one whole document. The tree keeps parts of text, and so all of it.
func Parse(text string) (*Value, error) {
	v, err := new(document).parse(text, maxDepth, math.MaxInt)
	if err == nil {
		v.openAll()
	}
	return v, err
}

// ParseTo reads a document down to this depth; what lies deeper is checked and stays text (Raw), without members and
// items. Down to there it may have maxShallow values. The tree grows while it is read: it is one goroutine's.
func ParseTo(text string, depth int) (*Value, error) {
	return new(document).parse(text, depth, maxShallow)
}

const maxShallow = 128 << 10

// ParseUpTo reads a document of at most this many values. A value takes some 60 times the two bytes that make one, so
// whoever reads what strangers send needs the bound. The tree grows while it is read: it is one goroutine's.
func ParseUpTo(text string, values int) (*Value, error) {
	return new(document).parse(text, maxDepth, values)
}

func (d *document) parse(text string, depth, values int) (*Value, error) {
	if len(text) > math.MaxInt32 {
		return nil, &Error{Offset: math.MaxInt32, Message: "the document goes on too long"}
	}
	c := checker{text: text, deep: depth, left: values, spans: d.spans[:0]}
	if c.spans == nil {
		c.spans = make([]span, 0, min(64, len(text)/16+1))
	}
	start := c.space(0)
	end := c.value(start, 0)
	if after := c.space(end); c.err == nil && after < len(text) {
		c.fail(after, "unexpected text after the document")
	}
	if c.err != nil {
		return nil, c.err
	}
	d.spans, d.left = c.spans, values-c.left
	return d.value(text[start:end], 0), nil
}

// checker goes through a text once. It makes sure that it is JSON and notes where lists and objects end, so that nobody
// has to look for that again. Its methods take the offset where something starts and return where it ends; after an
// error that is the end of the text.
type checker struct {
	text  string
	deep  int
	left  int // values there may still be
	spans []span
	err   *Error
}

func (c *checker) fail(at int, message string) int {
	if c.err == nil {
		c.err = &Error{Offset: at, Message: message}
	}
	return len(c.text)
}

func (c *checker) peek(i int) byte {
	if i < len(c.text) {
		return c.text[i]
	}
	return 0
}

func (c *checker) space(i int) int { return skipSpace(c.text, i) }

func (c *checker) value(i, depth int) int {
	if depth <= c.deep {
		if c.left--; c.left < 0 {
			return c.fail(i, ErrTooMany.Error())
		}
	}
	switch b := c.peek(i); b {
	case '"':
		return c.string(i)
	case '{', '[':
		return c.container(i, depth, b)
	case 't':
		return c.word(i, "true")
	case 'f':
		return c.word(i, "false")
	case 'n':
		return c.word(i, "null")
	}
	return c.number(i)
}

// container is a list or an object, by its bracket.
func (c *checker) container(i, depth int, bracket byte) int {
	if depth >= maxDepth {
		return c.fail(i, "nested too deeply")
	}
	at := len(c.spans)
	if depth <= c.deep {
		c.spans = append(c.spans, span{})
	}
	var end, parts int
	if bracket == '{' {
		end, parts = c.object(i+1, depth+1)
	} else {
		end, parts = c.list(i+1, depth+1)
	}
	if depth == c.deep {
		parts = 0 // nobody looks inside
	}
	if depth <= c.deep {
		c.spans[at] = span{size: uint32(end - i), next: uint32(len(c.spans)), parts: uint32(parts)} //nolint:gosec // parse bounds the text
	}
	return end
}

// object is the rest of one, after its bracket.
func (c *checker) object(i, depth int) (end, members int) {
	for i = c.space(i); c.peek(i) != '}'; members++ {
		if c.peek(i) != '"' {
			return c.fail(i, "want a field name in quotes"), 0
		}
		i = c.space(c.string(i))
		if c.peek(i) != ':' {
			return c.fail(i, "want : after a field name"), 0
		}
		i = c.next(c.value(c.space(i+1), depth), '}')
		if c.err != nil {
			return i, 0
		}
	}
	return i + 1, members
}

// list is the rest of one, after its bracket.
func (c *checker) list(i, depth int) (end, items int) {
	for i = c.space(i); c.peek(i) != ']'; items++ {
		i = c.next(c.value(i, depth), ']')
		if c.err != nil {
			return i, 0
		}
	}
	return i + 1, items
}

// next goes to the next part, or to the closing bracket; a comma must be followed by a part.
func (c *checker) next(i int, bracket byte) int {
	i = c.space(i)
	if b := c.peek(i); b == bracket {
		return i
	} else if b != ',' {
		return c.fail(i, "want a comma or the end of the list or object")
	}
	i = c.space(i + 1)
	if c.peek(i) == bracket {
		return c.fail(i, "nothing after a comma")
	}
	return i
}
