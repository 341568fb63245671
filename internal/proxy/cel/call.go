package cel

import (
	"strings"
	"unicode/utf8"

	"github.com/pillion-mesh/pillion/internal/proxy/pattern"
)

// functions are those of one value.
var functions = map[string]unary{
	"size": size, "bool": toBool, "bytes": toBytes, "double": toDouble, "duration": toDuration, "int": toInt, "string": toString,
	"timestamp": toTimestamp, "uint": toUint, "dyn": func(_ *frame, v value) value { return v },
}

// methods are those of a value and another.
var methods = map[string]binary{"contains": texts(strings.Contains), "startsWith": texts(strings.HasPrefix), "endsWith": texts(strings.HasSuffix)}

// function reads the arguments of a function that is called by its name alone.
func (p *parser) function(name token) node {
	if name.text == "has" {
		return p.has(name)
	}
	args := p.arguments()
	if name.text == "matches" {
		p.count(name, args, 2)
		return p.matches(args[0], args[1])
	}
	op := functions[name.text]
	if op == nil {
		p.fail(name.at, "the function %s is not supported", name.text)
	}
	p.count(name, args, 1)
	n := apply1(op, args[0])
	n.at = name.at
	return n
}

// method reads the arguments of a function that is called of a value.
func (p *parser) method(of node, name token) node {
	if isMacro(name.text) {
		return p.macro(of, name)
	}
	args := p.arguments()
	switch {
	case name.text == "size":
		p.count(name, args, 0)
		return apply1(size, of)
	case name.text == "matches":
		p.count(name, args, 1)
		return p.matches(of, args[0])
	case methods[name.text] != nil:
		p.count(name, args, 1)
		return apply2(methods[name.text], of, args[0])
	case timeParts[name.text] != nil:
		return p.timePart(of, name, args)
	}
	p.fail(name.at, "the function %s is not supported", name.text)
	return node{}
}

func (p *parser) arguments() (all []node) {
	p.expect("(", `"("`)
	if p.skip(")") {
		return nil
	}
	for ok := true; ok; ok = p.skip(",") {
		all = append(all, p.expression())
	}
	p.expect(")", `"," or ")"`)
	return all
}

func (p *parser) count(name token, args []node, want int) {
	if len(args) != want {
		p.fail(name.at, "%s has %d arguments, expected %d", name.text, len(args), want)
	}
}

func (p *parser) has(name token) node {
	args := p.arguments()
	p.count(name, args, 1)
	if args[0].has == nil {
		p.fail(args[0].at, "expected a field that has could look for, like has(request.referer)")
	}
	return node{eval: args[0].has, at: name.at}
}

// matches takes only patterns that are known now: else a request would choose what they cost.
func (p *parser) matches(of, source node) node {
	if source.fixed == nil || source.fixed.kind != stringKind {
		p.fail(source.at, "a pattern of matches that is no literal is not supported")
	}
	re, err := pattern.Compile(source.fixed.str)
	if err != nil {
		p.fail(source.at, "the pattern of matches: %s", err)
	}
	return apply1(func(f *frame, v value) value {
		switch {
		case v.kind != stringKind:
			return errKind
		case !f.spend(1 + len(v.str)/stepBytes):
			return errSteps
		}
		return boolValue(re.MatchString(v.str))
	}, of)
}

func texts(of func(text, part string) bool) binary {
	return func(f *frame, v, w value) value {
		switch {
		case v.kind != stringKind || w.kind != stringKind:
			return errKind
		case !f.spend(1 + len(v.str)/stepBytes):
			return errSteps
		}
		return boolValue(of(v.str, w.str))
	}
}

// size counts characters, bytes, elements or keys.
func size(f *frame, v value) value {
	switch v.kind {
	case stringKind:
		if !f.spend(1 + len(v.str)/stepBytes) {
			return errSteps
		}
		return intValue(int64(utf8.RuneCountInString(v.str)))
	case bytesKind:
		return intValue(int64(len(v.str)))
	case listKind:
		return intValue(int64(len(v.list())))
	case mapKind:
		return intValue(int64(v.mapping().size()))
	}
	return errKind
}
