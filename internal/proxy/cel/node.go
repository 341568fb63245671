package cel

import "math"

// node is a compiled part of an expression.
type node struct {
	eval  eval
	at    int    // byte of the text
	fixed *value // what it always is; nil: that depends
	has   eval   // whether the field it selects is there; nil: it selects none
}

func constant(v value, at int) node {
	return node{eval: func(*frame) value { return v }, at: at, fixed: &v}
}

// made is a part that depends on nothing but its own parts: of fixed ones it is computed once.
func made(e eval, at int, parts ...node) node {
	for _, part := range parts {
		if part.fixed == nil {
			return node{eval: e, at: at}
		}
	}
	if v := e(&frame{steps: maxSteps}); !v.failed() {
		return constant(v, at)
	}
	return node{eval: e, at: at}
}

func apply1(op unary, of node) node {
	return made(func(f *frame) value {
		v := of.eval(f)
		if v.failed() {
			return v
		}
		return op(f, v)
	}, of.at, of)
}

func apply2(op binary, left, right node) node {
	return made(func(f *frame) value {
		v := left.eval(f)
		if v.failed() {
			return v
		}
		w := right.eval(f)
		if w.failed() {
			return w
		}
		return op(f, v, w)
	}, left.at, left, right)
}

// either is && or ||, which one side decides alone, even if the other is an error.
func either(left, right node, decides value) node {
	return made(func(f *frame) value {
		v := left.eval(f)
		if v.kind == boolKind && v.num == decides.num {
			return v
		}
		w := right.eval(f)
		switch {
		case w.kind == boolKind && w.num == decides.num, v.kind == boolKind && w.kind == boolKind:
			return w
		case v.failed():
			return v
		case w.failed():
			return w
		}
		return errKind
	}, left.at, left, right)
}

func condition(of, then, otherwise node) node {
	return made(func(f *frame) value {
		switch v := of.eval(f); {
		case v.failed():
			return v
		case v.kind != boolKind:
			return errKind
		case v.num == 1:
			return then.eval(f)
		}
		return otherwise.eval(f)
	}, of.at, of, then, otherwise)
}

func selection(of node, name string) node {
	key := stringValue(name)
	n := apply2(func(_ *frame, v, key value) value {
		if v.kind != mapKind {
			return errKind
		}
		return found(v.mapping(), key)
	}, of, constant(key, of.at))
	n.has = func(f *frame) value {
		switch v := of.eval(f); v.kind {
		case errorKind:
			return v
		case listKind:
			return errKind
		case mapKind:
			_, there := v.mapping().find(key)
			return boolValue(there)
		}
		return no
	}
	return n
}

func found(m mapping, key value) value {
	if v, there := m.find(key); there {
		return v
	}
	return errMissing
}

func index(_ *frame, v, key value) value {
	switch v.kind {
	case mapKind:
		return found(v.mapping(), key)
	case listKind:
		if i, whole := position(key); whole && i < uint64(len(v.list())) {
			return v.list()[i]
		}
		return errMissing
	}
	return errKind
}

// position is a number that is whole and not below 0.
func position(v value) (i uint64, whole bool) {
	switch v.kind {
	case intKind, uintKind: // one below 0 is larger than any list
		return v.num, true
	case doubleKind:
		d := v.double()
		return uint64(max(d, 0)), d >= 0 && d <= math.MaxInt32 && d == math.Trunc(d)
	}
	return 0, false
}

func newList(parts []node, at int) node {
	return made(func(f *frame) value {
		if !f.spend(len(parts)) {
			return errSteps
		}
		out := make(list, len(parts))
		for i := range parts {
			if out[i] = parts[i].eval(f); out[i].failed() {
				return out[i]
			}
		}
		return listValue(out)
	}, at, parts...)
}

// newMap takes keys of CEL's types, each once.
func newMap(keys, values []node, at int) node {
	return made(func(f *frame) value {
		if !f.spend(len(keys)) {
			return errSteps
		}
		out := make(entries, 0, len(keys))
		for i := range keys {
			key, v := keys[i].eval(f), values[i].eval(f)
			_, there := out.find(key)
			switch {
			case key.failed():
				return key
			case v.failed():
				return v
			case there || key.kind < boolKind || key.kind > stringKind || key.kind == doubleKind:
				return errKind
			}
			out = append(out, entry{key, v})
		}
		return mapValue(out)
	}, at, append(keys[:len(keys):len(keys)], values...)...)
}
