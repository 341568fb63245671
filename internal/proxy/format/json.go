package format

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// field is one field of a JSON object: a text of operations, or an object of fields.
type field struct {
	key    string // quoted, with its colon
	ops    []op
	fields []field
	nested bool
}

// maxDepth bounds how deep a JSON format nests.
const maxDepth = 32

// CompileJSON compiles the format of a JSON log line. Fields stay in their order, which config says is by key. A field
// that is one operator keeps its type: numbers stay numbers, and what is unset is null, or with omitEmpty left out.
func CompileJSON(fields []config.FormatField, omitEmpty bool) (*Format, error) {
	compiled, err := compileFields(fields, 0)
	f := &Format{json: compiled, isObj: true, unset: "-"}
	if omitEmpty {
		f.unset = ""
	}
	return f, err
}

func compileFields(fields []config.FormatField, depth int) (out []field, err error) {
	if depth > maxDepth {
		return nil, errors.New("the JSON format is nested too deep")
	}
	for _, f := range fields {
		made := field{key: string(append(appendString(nil, f.Key), ':')), nested: f.Fields != nil}
		if made.nested {
			made.fields, err = compileFields(f.Fields, depth+1)
		} else {
			made.ops, err = parse(f.Source)
		}
		if err != nil {
			return nil, fmt.Errorf("the field %q: %w", f.Key, err)
		}
		out = append(out, made)
	}
	return out, nil
}

// appendObject appends the line of a JSON format, with its line end.
func appendObject(line []byte, fields []field, x *stream.Exchange, omitEmpty bool) []byte {
	return append(appendFields(line, fields, x, omitEmpty), '\n')
}

func appendFields(line []byte, fields []field, x *stream.Exchange, omitEmpty bool) []byte {
	line = append(line, '{')
	first := true
	for i := range fields {
		start := len(line)
		if !first {
			line = append(line, ',')
		}
		line = append(line, fields[i].key...)
		var set bool
		if line, set = fields[i].append(line, x, omitEmpty); !set {
			line = line[:start]
			continue
		}
		first = false
	}
	return append(line, '}')
}

// append appends a field's value and reports whether it is to be kept.
func (f *field) append(line []byte, x *stream.Exchange, omitEmpty bool) ([]byte, bool) {
	if f.nested {
		return appendFields(line, f.fields, x, omitEmpty), true
	}
	if len(f.ops) == 1 && f.ops[0].before == "" {
		start := len(line)
		line, set := f.ops[0].typed(line, x)
		if set || omitEmpty {
			return line, set
		}
		return append(line[:start], "null"...), true
	}
	return f.text(line, x, omitEmpty), true
}

// typed appends the value as JSON.
func (o *op) typed(line []byte, x *stream.Exchange) ([]byte, bool) {
	if o.json != nil {
		return o.json(line, x)
	}
	if o.number {
		return o.do(line, x)
	}
	start := len(line)
	line, set := o.do(append(line, '"'), x)
	if !set {
		return line[:start], false
	}
	return append(escapeString(line, start+1), '"'), true
}

// text appends several operations as one string.
func (f *field) text(line []byte, x *stream.Exchange, omitEmpty bool) []byte {
	line = append(line, '"')
	for i := range f.ops {
		o, start := &f.ops[i], len(line)
		line = escapeString(append(line, o.before...), start)
		if o.do == nil {
			continue
		}
		start = len(line)
		var set bool
		if line, set = o.do(line, x); !set {
			line = line[:start]
			if !omitEmpty {
				line = append(line, '-')
			}
			continue
		}
		line = escapeString(line, start)
	}
	return append(line, '"')
}

func appendString(line []byte, text string) []byte {
	line = append(line, '"')
	start := len(line)
	return append(escapeString(append(line, text...), start), '"')
}

// escapeString makes line[start:] the inside of a JSON string. Bytes that aren't UTF-8 become U+FFFD.
func escapeString(line []byte, start int) []byte {
	for i := start; i < len(line); i++ {
		if c := line[i]; c < ' ' || c == '"' || c == '\\' || c >= 0x7f {
			return escapeRest(line, i)
		}
	}
	return line
}

func escapeRest(line []byte, start int) []byte {
	rest := strings.ToValidUTF8(string(line[start:]), string(utf8.RuneError))
	line = line[:start]
	for i := range len(rest) {
		switch c := rest[i]; {
		case c == '"' || c == '\\':
			line = append(line, '\\', c)
		case c == '\n':
			line = append(line, '\\', 'n')
		case c < ' ' || c == 0x7f:
			line = append(line, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		default:
			line = append(line, c)
		}
	}
	return line
}
