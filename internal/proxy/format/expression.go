package format

import (
	"errors"
	"fmt"
	"strings"

	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// CompileExpression compiles an expression over attributes, as labels of metrics are given: the part of CEL people use
// for that. There are texts, numbers, attributes (request.headers['x'], upstream_peer.namespace), has(), +, ==, !=,
// &&, ||, !, parentheses, and a ? b : c. All values are texts; what is unset makes the whole unset, but for has().
func CompileExpression(source string) (*Format, error) {
	p := &parser{rest: source}
	value, err := p.choice()
	if err != nil {
		return nil, fmt.Errorf("the expression %q: %w", source, err)
	}
	if p.space(); p.rest != "" {
		return nil, fmt.Errorf("the expression %q: %q is left over", source, p.rest)
	}
	return &Format{ops: []op{{do: func(line []byte, x *stream.Exchange) ([]byte, bool) {
		text, ok := value(x)
		return append(line, text...), ok
	}}}, escape: escapeHeader}, nil
}

// expression gives a text, or that there is none.
type expression func(x *stream.Exchange) (string, bool)

// maxNesting bounds how deep parentheses go.
const maxNesting = 64

type parser struct {
	rest  string
	depth int
}

func (p *parser) space() { p.rest = strings.TrimLeft(p.rest, " \t\n") }

// take consumes a sign if it comes next.
func (p *parser) take(sign string) bool {
	p.space()
	rest, ok := strings.CutPrefix(p.rest, sign)
	if ok {
		p.rest = rest
	}
	return ok
}

// choice is a ? b : c, or anything below it.
func (p *parser) choice() (expression, error) {
	if p.depth++; p.depth > maxNesting {
		return nil, errors.New("it is nested too deep")
	}
	defer func() { p.depth-- }()
	condition, err := p.binary(0)
	if err != nil || !p.take("?") {
		return condition, err
	}
	yes, err := p.choice()
	if err != nil {
		return nil, err
	}
	if !p.take(":") {
		return nil, errors.New("a ? without its colon")
	}
	no, err := p.choice()
	return func(x *stream.Exchange) (string, bool) {
		if value, ok := condition(x); ok && value == "true" {
			return yes(x)
		}
		return no(x)
	}, err
}

// binaries are the operators between two expressions, the ones that bind least first.
var binaries = [...]map[string]func(a, b expression) expression{
	{"||": func(a, b expression) expression {
		return truth(func(x *stream.Exchange) bool { return isTrue(a, x) || isTrue(b, x) })
	}},
	{"&&": func(a, b expression) expression {
		return truth(func(x *stream.Exchange) bool { return isTrue(a, x) && isTrue(b, x) })
	}},
	{"==": func(a, b expression) expression {
		return truth(func(x *stream.Exchange) bool { return same(a, b, x) })
	}, "!=": func(a, b expression) expression {
		return truth(func(x *stream.Exchange) bool { return !same(a, b, x) })
	}},
	{"+": func(a, b expression) expression {
		return func(x *stream.Exchange) (string, bool) {
			left, ok := a(x)
			right, both := b(x)
			return left + right, ok && both
		}
	}},
}

func truth(f func(*stream.Exchange) bool) expression {
	return func(x *stream.Exchange) (string, bool) {
		if f(x) {
			return "true", true
		}
		return "false", true
	}
}

func isTrue(e expression, x *stream.Exchange) bool {
	value, ok := e(x)
	return ok && value == "true"
}

func same(a, b expression, x *stream.Exchange) bool {
	left, ok := a(x)
	right, both := b(x)
	return ok && both && left == right
}

func (p *parser) binary(level int) (expression, error) {
	if level == len(binaries) {
		return p.single()
	}
	left, err := p.binary(level + 1)
	for err == nil {
		join := p.joiner(level)
		if join == nil {
			return left, nil
		}
		var right expression
		right, err = p.binary(level + 1)
		left = join(left, right)
	}
	return nil, err
}

func (p *parser) joiner(level int) func(a, b expression) expression {
	for sign, join := range binaries[level] {
		if p.take(sign) {
			return join
		}
	}
	return nil
}

// single is one value.
func (p *parser) single() (expression, error) {
	if p.depth++; p.depth > maxNesting {
		return nil, errors.New("it is nested too deep")
	}
	defer func() { p.depth-- }()
	p.space()
	switch {
	case p.rest == "":
		return nil, errors.New("it ends too early")
	case p.take("!"):
		inner, err := p.single()
		return truth(func(x *stream.Exchange) bool { return !isTrue(inner, x) }), err
	case p.take("("):
		return p.closed(p.choice)
	case p.rest[0] == '\'' || p.rest[0] == '"':
		text, err := p.quoted()
		return fixed(text), err
	case p.rest[0] >= '0' && p.rest[0] <= '9':
		digits := p.word()
		return fixed(digits), nil
	}
	return p.named()
}

func fixed(text string) expression {
	return func(*stream.Exchange) (string, bool) { return text, true }
}

func (p *parser) closed(inner func() (expression, error)) (expression, error) {
	e, err := inner()
	if err == nil && !p.take(")") {
		err = errors.New("a parenthesis isn't closed")
	}
	return e, err
}

func (p *parser) quoted() (string, error) {
	quote := p.rest[:1]
	text, rest, ok := strings.Cut(p.rest[1:], quote)
	if !ok {
		return "", errors.New("a text isn't closed")
	}
	p.rest = rest
	return text, nil
}

// word takes a name's letters.
func (p *parser) word() string {
	end := strings.IndexFunc(p.rest, func(r rune) bool {
		return r != '_' && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9')
	})
	if end < 0 {
		end = len(p.rest)
	}
	word := p.rest[:end]
	p.rest = p.rest[end:]
	return word
}

// named is an attribute, true, false, or has() and string() around an expression.
func (p *parser) named() (expression, error) {
	name := p.word()
	switch name {
	case "":
		return nil, fmt.Errorf("%q isn't understood", p.rest)
	case "true", "false":
		return fixed(name), nil
	case "has", "string":
		if p.take("(") {
			return p.call(name)
		}
	}
	path, err := p.path(name)
	if err != nil {
		return nil, err
	}
	if len(path) == 2 && path[0] == "connection" && path[1] == "mtls" {
		return truth(func(x *stream.Exchange) bool { return x.Conn.TLS != nil && x.Conn.TLS.Mutual }), nil
	}
	o, err := attribute(path)
	return func(x *stream.Exchange) (string, bool) {
		value, ok := o.do(nil, x)
		return string(value), ok
	}, err
}

func (p *parser) call(name string) (expression, error) {
	inner, err := p.closed(p.choice)
	if name == "string" || err != nil {
		return inner, err
	}
	return truth(func(x *stream.Exchange) bool { _, ok := inner(x); return ok }), nil
}

// path reads .NAME and ['NAME'] behind a name.
func (p *parser) path(name string) ([]string, error) {
	path := []string{name}
	for {
		switch {
		case p.take("."):
			path = append(path, p.word())
		case p.take("["):
			p.space()
			if p.rest == "" || p.rest[0] != '\'' && p.rest[0] != '"' {
				return nil, errors.New("want a text between brackets")
			}
			key, err := p.quoted()
			if err != nil || !p.take("]") {
				return nil, errors.New("a bracket isn't closed")
			}
			path = append(path, key)
		default:
			return path, nil
		}
	}
}
