package cel

import (
	"math"
	"math/bits"
	"time"
)

// unary and binary are operators and functions over values, none of which is an error.
type (
	unary  func(*frame, value) value
	binary func(*frame, value, value) value
)

// checked says errOverflow of what isn't ok.
func checked[T any](of func(T) value) func(T, bool) value {
	return func(n T, ok bool) value {
		if !ok {
			return errOverflow
		}
		return of(n)
	}
}

var (
	intOr      = checked(intValue)
	uintOr     = checked(uintValue)
	durationOr = checked(func(n int64) value { return durationValue(time.Duration(n)) })
)

func add(f *frame, v, w value) value {
	switch {
	case v.kind == timeKind && w.kind == durationKind:
		return later(v, w.int(), true)
	case v.kind == durationKind && w.kind == timeKind:
		return later(w, v.int(), true)
	case v.kind != w.kind:
		return errKind
	}
	switch v.kind {
	case intKind:
		return intOr(sum(v.int(), w.int()))
	case durationKind:
		return durationOr(sum(v.int(), w.int()))
	case uintKind:
		n, carry := bits.Add64(v.num, w.num, 0)
		return uintOr(n, carry == 0)
	case doubleKind:
		return doubleValue(v.double() + w.double())
	case stringKind, bytesKind, listKind:
		return concatenate(f, v, w)
	}
	return errKind
}

func concatenate(f *frame, v, w value) value {
	if v.kind == listKind {
		a, b := v.list(), w.list()
		size := len(a) + len(b)
		if size > maxSize || !f.spend(size) {
			return errSteps
		}
		return listValue(append(append(make(list, 0, size), a...), b...))
	}
	size := (len(v.str) + len(w.str)) / stepBytes
	if size > maxSize || !f.spend(size) {
		return errSteps
	}
	return value{kind: v.kind, str: v.str + w.str}
}

func sum(a, b int64) (int64, bool) {
	n := a + b
	return n, (n > a) == (b > 0)
}

func difference(a, b int64) (int64, bool) {
	n := a - b
	return n, (n < a) == (b > 0)
}

func product(a, b int64) (int64, bool) {
	n := a * b
	switch {
	case a == 0 || b == 0:
		return 0, true
	case a == -1:
		return n, b != math.MinInt64
	}
	return n, n/a == b
}

// Years 1 to 9999, in seconds since 1970.
const minTime, maxTime = -62135596800, 253402300799

// later is a time some nanoseconds later; not ok: how much can't be told.
func later(t value, nanos int64, ok bool) value {
	if !ok {
		return errOverflow
	}
	return timeIn(t.time().Add(time.Duration(nanos)))
}

// timeIn is t within the years CEL knows.
func timeIn(t time.Time) value {
	if s := t.Unix(); s < minTime || s > maxTime {
		return errOverflow
	}
	return timeValue(t)
}

func subtract(_ *frame, v, w value) value {
	switch {
	case v.kind == timeKind && w.kind == durationKind:
		n, ok := difference(0, w.int())
		return later(v, n, ok)
	case v.kind != w.kind:
		return errKind
	}
	switch v.kind {
	case intKind:
		return intOr(difference(v.int(), w.int()))
	case durationKind:
		return durationOr(difference(v.int(), w.int()))
	case uintKind:
		return uintOr(v.num-w.num, v.num >= w.num)
	case doubleKind:
		return doubleValue(v.double() - w.double())
	case timeKind:
		seconds, ok := product(v.int()-w.int(), int64(time.Second))
		if !ok {
			return errOverflow
		}
		return durationOr(sum(seconds, int64(v.nanos-w.nanos)))
	}
	return errKind
}

func multiply(_ *frame, v, w value) value {
	if v.kind != w.kind {
		return errKind
	}
	switch v.kind {
	case intKind:
		return intOr(product(v.int(), w.int()))
	case uintKind:
		over, n := bits.Mul64(v.num, w.num)
		return uintOr(n, over == 0)
	case doubleKind:
		return doubleValue(v.double() * w.double())
	}
	return errKind
}

func divide(_ *frame, v, w value) value {
	switch {
	case v.kind == doubleKind && w.kind == doubleKind:
		return doubleValue(v.double() / w.double())
	case v.kind != w.kind || !v.isNumber():
		return errKind
	case w.num == 0:
		return errZero
	case v.kind == uintKind:
		return uintValue(v.num / w.num)
	}
	return intOr(v.int()/w.int(), v.int() != math.MinInt64 || w.int() != -1)
}

func modulo(_ *frame, v, w value) value {
	switch {
	case v.kind != w.kind || !v.isNumber() || v.kind == doubleKind:
		return errKind
	case w.num == 0:
		return errZero
	case v.kind == uintKind:
		return uintValue(v.num % w.num)
	}
	return intOr(v.int()%w.int(), v.int() != math.MinInt64 || w.int() != -1)
}

func negate(_ *frame, v value) value {
	switch v.kind {
	case intKind:
		return intOr(difference(0, v.int()))
	case durationKind:
		return durationOr(difference(0, v.int()))
	case doubleKind:
		return doubleValue(-v.double())
	}
	return errKind
}
