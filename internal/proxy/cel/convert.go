package cel

import (
	"math"
	"strconv"
	"time"
	"unicode/utf8"
)

// or is what a conversion gave, if it did.
func or[T any](of func(T) value, n T, err error) value {
	if err != nil {
		return errConvert
	}
	return of(n)
}

func toBool(_ *frame, v value) value {
	switch v.kind {
	case boolKind:
		return v
	case stringKind:
		b, err := strconv.ParseBool(v.str)
		return or(boolValue, b, err)
	}
	return errKind
}

func toBytes(_ *frame, v value) value {
	if v.kind != stringKind && v.kind != bytesKind {
		return errKind
	}
	v.kind = bytesKind
	return v
}

func toInt(_ *frame, v value) value {
	switch v.kind {
	case intKind:
		return v
	case uintKind:
		return intOr(v.int(), v.num <= math.MaxInt64)
	case doubleKind:
		d := v.double()
		return intOr(int64(d), d > math.MinInt64 && d < math.MaxInt64)
	case stringKind:
		n, err := strconv.ParseInt(v.str, 10, 64)
		return or(intValue, n, err)
	case timeKind, durationKind:
		return intValue(v.int())
	}
	return errKind
}

func toUint(_ *frame, v value) value {
	switch v.kind {
	case uintKind:
		return v
	case intKind:
		return uintOr(v.num, v.int() >= 0)
	case doubleKind:
		d := v.double()
		return uintOr(uint64(d), d >= 0 && d < math.MaxUint64)
	case stringKind:
		n, err := strconv.ParseUint(v.str, 10, 64)
		return or(uintValue, n, err)
	}
	return errKind
}

func toDouble(_ *frame, v value) value {
	switch {
	case v.isNumber():
		return doubleValue(v.toFloat())
	case v.kind == stringKind:
		n, err := strconv.ParseFloat(v.str, 64)
		return or(doubleValue, n, err)
	}
	return errKind
}

func toString(_ *frame, v value) value {
	switch v.kind {
	case stringKind:
		return v
	case bytesKind:
		if !utf8.ValidString(v.str) {
			return errConvert
		}
		return stringValue(v.str)
	case boolKind:
		return stringValue(strconv.FormatBool(v.num == 1))
	case intKind:
		return stringValue(strconv.FormatInt(v.int(), 10))
	case uintKind:
		return stringValue(strconv.FormatUint(v.num, 10))
	case doubleKind:
		return stringValue(strconv.FormatFloat(v.double(), 'g', -1, 64))
	case durationKind:
		return stringValue(strconv.FormatFloat(v.duration().Seconds(), 'f', -1, 64) + "s")
	case timeKind:
		return stringValue(v.time().Format(time.RFC3339Nano))
	}
	return errKind
}

func toDuration(_ *frame, v value) value {
	switch v.kind {
	case durationKind:
		return v
	case stringKind:
		d, err := time.ParseDuration(v.str)
		return or(durationValue, d, err)
	}
	return errKind
}

func toTimestamp(_ *frame, v value) value {
	switch v.kind {
	case timeKind:
		return v
	case intKind: // seconds since 1970
		if v.int() < minTime || v.int() > maxTime {
			return errOverflow
		}
		return timeValue(time.Unix(v.int(), 0))
	case stringKind:
		t, err := time.Parse(time.RFC3339, v.str)
		return or(timeIn, t, err)
	}
	return errKind
}
