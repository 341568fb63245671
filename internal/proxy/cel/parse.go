package cel

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

// parser reads an expression and makes its closures, by one method for a level of the grammar. The first error ends it by a
// panic with a *syntaxError, which compile catches.
type parser struct {
	tokens []token
	depth  int
	vars   []string // of macros around, the innermost last
	most   int      // vars at once
}

func compile(text string) (e *Expression, err error) {
	if len(text) > maxText {
		return nil, fmt.Errorf("its size is over %d bytes", maxText)
	}
	if !utf8.ValidString(text) {
		return nil, errors.New("it isn't UTF-8")
	}
	defer func() {
		switch problem := recover().(type) {
		case nil:
		case *syntaxError:
			e, err = nil, problem.place(text)
		default:
			panic(problem)
		}
	}()
	tokens, problem := lex(text)
	if problem != nil {
		return nil, problem.place(text)
	}
	p := &parser{tokens: tokens}
	n := p.expression()
	p.expect(endToken, "an operator or the end")
	return &Expression{n.eval, p.most}, nil
}

func (p *parser) fail(at int, format string, args ...any) {
	panic(&syntaxError{fmt.Sprintf(format, args...), at})
}

func (p *parser) peek() token { return p.tokens[0] }

func (p *parser) next() token {
	t := p.tokens[0]
	if t.kind != endToken {
		p.tokens = p.tokens[1:]
	}
	return t
}

// skip takes the next token if it is of a kind.
func (p *parser) skip(kind string) bool {
	is := p.peek().kind == kind
	if is {
		p.next()
	}
	return is
}

// expect takes the next token, which must be of a kind. what names more that could be there.
func (p *parser) expect(kind, what string) token {
	t := p.peek()
	if t.kind != kind {
		p.fail(t.at, "expected %s, found %s", what, t)
	}
	return p.next()
}

// expression is `condition ? then : otherwise`, or less.
func (p *parser) expression() node {
	if p.depth++; p.depth > maxNesting {
		p.fail(p.peek().at, "nested deeper than %d", maxNesting)
	}
	n := p.or()
	if p.skip("?") {
		then := p.or()
		p.expect(":", `":" of the condition`)
		n = condition(n, then, p.expression())
	}
	p.depth--
	return n
}

func (p *parser) or() node {
	n := p.and()
	for p.skip("||") {
		n = either(n, p.and(), yes)
	}
	return n
}

func (p *parser) and() node {
	n := p.binary(0)
	for p.skip("&&") {
		n = either(n, p.binary(0), no)
	}
	return n
}

// levels are the operators over two values, the loosest first.
var levels = []map[string]binary{
	{
		"==": equals, "!=": differs, "in": contained,
		"<": ordering(func(o int) bool { return o < 0 }), "<=": ordering(func(o int) bool { return o <= 0 }),
		">": ordering(func(o int) bool { return o > 0 }), ">=": ordering(func(o int) bool { return o >= 0 }),
	},
	{"+": add, "-": subtract},
	{"*": multiply, "/": divide, "%": modulo},
}

func (p *parser) binary(level int) node {
	if level == len(levels) {
		return p.unary()
	}
	n := p.binary(level + 1)
	for {
		op := levels[level][p.peek().kind]
		if op == nil {
			return n
		}
		p.next()
		n = apply2(op, n, p.binary(level+1))
	}
}

// unary are any number of one sign, of which two undo each other. One before a number is the number's.
func (p *parser) unary() node {
	sign := p.peek()
	op := map[string]unary{"!": not, "-": negate}[sign.kind]
	if op == nil || sign.kind == "-" && p.signed() {
		return p.member()
	}
	odd := false
	for p.skip(sign.kind) {
		odd = !odd
	}
	n := p.member()
	if odd {
		n = apply1(op, n)
	}
	n.at = sign.at
	return n
}

// signed: a number with its sign is next.
func (p *parser) signed() bool {
	next := p.tokens[min(1, len(p.tokens)-1)].kind
	return p.peek().kind == "-" && (next == intToken || next == doubleToken)
}

// member is a value with what is selected, called or indexed of it.
func (p *parser) member() node {
	n := p.primary()
	for {
		switch {
		case p.skip("."):
			name := p.expect(identToken, `the name of a field`)
			if p.peek().kind == "(" {
				n = p.method(n, name)
			} else {
				n = selection(n, name.text)
			}
		case p.skip("["):
			key := p.expression()
			p.expect("]", `"]"`)
			n = apply2(index, n, key)
		default:
			return n
		}
	}
}
