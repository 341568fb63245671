package cel

// macro computes something of all elements, each of which it puts into the variable of slot before body.
type macro func(f *frame, slot int, all list, body []eval) value

// macros are those of lists and maps, by how many bodies they have.
var macros = []map[string]macro{
	1: {"all": quantifier(no), "exists": quantifier(yes), "exists_one": existsOne, "map": mapped, "filter": filtered},
	2: {"map": mappedSome},
}

// isMacro says it of a method's name.
func isMacro(name string) bool { return macros[1][name] != nil }

// macro reads `(x, body)` or `(x, body, body)` behind a macro's name.
func (p *parser) macro(of node, name token) node {
	p.expect("(", `"("`)
	variable := p.expect(identToken, "the name of a variable")
	p.allowed(variable)
	p.expect(",", `"," behind the variable`)
	slot := len(p.vars)
	p.vars = append(p.vars, variable.text)
	p.most = max(p.most, len(p.vars))
	var body []eval
	for ok := true; ok; ok = p.skip(",") {
		body = append(body, p.expression().eval)
	}
	p.expect(")", `")"`)
	p.vars = p.vars[:slot]
	if len(body) >= len(macros) || macros[len(body)][name.text] == nil {
		p.fail(name.at, "%s takes no %d arguments", name.text, len(body)+1)
	}
	run := macros[len(body)][name.text]
	return node{at: of.at, eval: func(f *frame) value {
		v := of.eval(f)
		switch v.kind {
		case errorKind:
			return v
		case listKind:
			return run(f, slot, v.list(), body)
		case mapKind:
			return run(f, slot, keysOf(f, v.mapping()), body)
		}
		return errKind
	}}
}

// keysOf are a map's keys, but no more than the steps that are left and one, which then ends the macro.
func keysOf(f *frame, m mapping) (all list) {
	m.keys(func(key value) bool {
		all = append(all, key)
		return len(all) <= f.steps
	})
	return all
}

// judge is body of one element; anything but a bool is an error.
func judge(f *frame, slot int, element value, body eval) value {
	if !f.spend(1) {
		return errSteps
	}
	f.vars[slot] = element
	if v := body(f); v.kind == boolKind || v.failed() {
		return v
	}
	return errKind
}

// quantifier is what decides if one element is so, even if others are errors, and else its opposite.
func quantifier(decides value) macro {
	return func(f *frame, slot int, all list, body []eval) value {
		result := boolValue(decides.num == 0)
		for _, element := range all {
			switch v := judge(f, slot, element, body[0]); {
			case v.failed():
				result = v
			case v.num == decides.num:
				return v
			}
			if f.steps < 0 {
				return errSteps
			}
		}
		return result
	}
}

func existsOne(f *frame, slot int, all list, body []eval) value {
	count := uint64(0)
	for _, element := range all {
		v := judge(f, slot, element, body[0])
		if v.failed() {
			return v
		}
		count += v.num
	}
	return boolValue(count == 1)
}

func filtered(f *frame, slot int, all list, body []eval) value {
	return mappedSome(f, slot, all, []eval{body[0], func(f *frame) value { return f.vars[slot] }})
}

func mapped(f *frame, slot int, all list, body []eval) value {
	return mappedSome(f, slot, all, []eval{always, body[0]})
}

func always(*frame) value { return yes }

func mappedSome(f *frame, slot int, all list, body []eval) value {
	out := list{}
	for _, element := range all {
		switch v := judge(f, slot, element, body[0]); {
		case v.failed():
			return v
		case v.num == 1:
			if v = body[1](f); v.failed() {
				return v
			}
			out = append(out, v)
		}
	}
	return listValue(out)
}
