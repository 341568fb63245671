package cel

import "slices"

// primary is a value that is written down, in parentheses, or known by a name.
func (p *parser) primary() node {
	t := p.next()
	switch t.kind {
	case "true", "false":
		return constant(boolValue(t.kind == "true"), t.at)
	case "null":
		return constant(null, t.at)
	case stringToken, bytesToken:
		v, err := stringLiteral(t.text)
		return p.literal(v, err, t)
	case intToken, uintToken, doubleToken:
		v, err := numberLiteral(t.kind, t.text)
		return p.literal(v, err, t)
	case "-":
		if number := p.peek(); number.kind == intToken || number.kind == doubleToken {
			p.next()
			v, err := numberLiteral(number.kind, "-"+number.text)
			return p.literal(v, err, t)
		}
	case "(":
		n := p.expression()
		p.expect(")", `")"`)
		return n
	case "[":
		return p.listOf(t.at)
	case "{":
		return p.mapOf(t.at)
	case identToken:
		return p.name(t)
	}
	p.fail(t.at, "expected a value, found %s", t)
	return node{}
}

func (p *parser) literal(v value, err error, t token) node {
	if err != nil {
		p.fail(t.at, "%s: %s", t, err)
	}
	return constant(v, t.at)
}

// name is a variable of a macro, a function or an attribute.
func (p *parser) name(t token) node {
	p.allowed(t)
	if p.peek().kind == "(" {
		return p.function(t)
	}
	for slot := len(p.vars) - 1; slot >= 0; slot-- {
		if p.vars[slot] == t.text {
			return node{at: t.at, eval: func(f *frame) value { return f.vars[slot] }}
		}
	}
	return p.attribute(t)
}

// allowed fails on a reserved name.
func (p *parser) allowed(t token) {
	if slices.Contains(reserved, t.text) {
		p.fail(t.at, "%s is reserved", t.text)
	}
}

func (p *parser) attribute(t token) node {
	all, known := roots[t.text]
	switch {
	case !known:
		p.fail(t.at, "%s is unknown", t.text)
	case all == nil:
		return node{at: t.at, eval: func(f *frame) value { return mapValue((*filterState)(f.x)) }}
	case !p.skip("."):
		p.fail(t.at, "%s is no value, only %s.NAME is", t.text, t.text)
	}
	field := p.expect(identToken, "the name of an attribute")
	of := all[field.text]
	if of == nil {
		p.fail(t.at, "the attribute %s.%s is unknown", t.text, field.text)
	}
	if p.peek().kind == "(" {
		p.fail(p.peek().at, "%s.%s is no function", t.text, field.text)
	}
	return node{
		at:  t.at,
		has: func(f *frame) value { return boolValue(of(f.x).kind != noKind) },
		eval: func(f *frame) value {
			if v := of(f.x); v.kind != noKind {
				return v
			}
			return errMissing
		},
	}
}

func (p *parser) listOf(at int) node {
	var parts []node
	for !p.skip("]") {
		parts = append(parts, p.expression())
		if !p.skip(",") {
			p.expect("]", `"," or "]"`)
			break
		}
	}
	return newList(parts, at)
}

func (p *parser) mapOf(at int) node {
	var keys, values []node
	for !p.skip("}") {
		keys = append(keys, p.expression())
		p.expect(":", `":" behind the key`)
		values = append(values, p.expression())
		if !p.skip(",") {
			p.expect("}", `"," or "}"`)
			break
		}
	}
	return newMap(keys, values, at)
}
