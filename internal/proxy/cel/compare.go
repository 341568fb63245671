package cel

import (
	"cmp"
	"math"
	"strings"
)

func (v value) isNumber() bool { return v.kind >= intKind && v.kind <= doubleKind }

// equal: numbers are equal to those of other types, all else only to its own type.
func (v value) equal(w value) bool {
	if v.isNumber() && w.isNumber() {
		order, ordered := numbers(v, w)
		return ordered && order == 0
	}
	if v.kind != w.kind {
		return false
	}
	switch v.kind {
	case listKind:
		return equalLists(v.list(), w.list())
	case mapKind:
		return equalMaps(v.mapping(), w.mapping())
	}
	return v.num == w.num && v.nanos == w.nanos && v.str == w.str
}

func equalLists(a, b list) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !a[i].equal(b[i]) {
			return false
		}
	}
	return true
}

func equalMaps(a, b mapping) bool {
	same := a.size() == b.size()
	if same {
		a.keys(func(key value) bool {
			v, _ := a.find(key)
			w, there := b.find(key)
			same = there && v.equal(w)
			return same
		})
	}
	return same
}

// numbers compares two; NaN has no order.
func numbers(v, w value) (order int, ordered bool) {
	switch [2]kind{v.kind, w.kind} {
	case [2]kind{intKind, intKind}:
		return cmp.Compare(v.int(), w.int()), true
	case [2]kind{uintKind, uintKind}:
		return cmp.Compare(v.num, w.num), true
	case [2]kind{intKind, uintKind}:
		return signed(v, w), true
	case [2]kind{uintKind, intKind}:
		return -signed(w, v), true
	}
	a, b := v.toFloat(), w.toFloat()
	return cmp.Compare(a, b), !math.IsNaN(a) && !math.IsNaN(b)
}

// signed compares an int to a uint.
func signed(i, u value) int {
	if i.int() < 0 {
		return -1
	}
	return cmp.Compare(i.num, u.num)
}

// toFloat is a number as the nearest double, by which doubles and whole numbers compare.
func (v value) toFloat() float64 {
	switch v.kind {
	case intKind:
		return float64(v.int())
	case uintKind:
		return float64(v.num)
	}
	return v.double()
}

// order compares what has an order.
func (v value) order(w value) (order int, ordered bool) {
	if v.isNumber() && w.isNumber() {
		return numbers(v, w)
	}
	if v.kind != w.kind {
		return 0, false
	}
	switch v.kind {
	case boolKind:
		return cmp.Compare(v.num, w.num), true
	case durationKind:
		return cmp.Compare(v.int(), w.int()), true
	case timeKind:
		return cmp.Or(cmp.Compare(v.int(), w.int()), cmp.Compare(v.nanos, w.nanos)), true
	case stringKind, bytesKind:
		return strings.Compare(v.str, w.str), true
	}
	return 0, false
}

func ordering(of func(order int) bool) binary {
	return func(_ *frame, v, w value) value {
		order, ordered := v.order(w)
		if !ordered {
			return errKind
		}
		return boolValue(of(order))
	}
}

func equals(f *frame, v, w value) value {
	if v.kind == listKind && !f.spend(len(v.list())) {
		return errSteps
	}
	return boolValue(v.equal(w))
}

func differs(f *frame, v, w value) value { return not(f, equals(f, v, w)) }

func not(_ *frame, v value) value {
	if v.kind != boolKind {
		return errKind
	}
	return boolValue(v.num == 0)
}

// contained is the operator in.
func contained(f *frame, v, w value) value {
	switch w.kind {
	case mapKind:
		_, there := w.mapping().find(v)
		return boolValue(there)
	case listKind:
		all := w.list()
		if !f.spend(len(all)) {
			return errSteps
		}
		for i := range all {
			if all[i].equal(v) {
				return yes
			}
		}
		return no
	}
	return errKind
}
