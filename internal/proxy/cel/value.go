package cel

import (
	"math"
	"time"
)

// kind is the type of a value.
type kind uint8

const (
	noKind    kind = iota // an attribute that isn't there
	errorKind             // str says what went wrong
	nullKind
	boolKind   // num is 1 or 0
	intKind    // num
	uintKind   // num
	doubleKind // num has its bits
	stringKind // str
	bytesKind  // str
	durationKind
	timeKind // num has the seconds since 1970, nanos the rest
	listKind // ref is a list
	mapKind  // ref is a mapping
)

// value is what an expression works with. It needs no memory of its own for all that isn't put together.
type value struct {
	kind  kind
	nanos int32
	num   uint64
	str   string
	ref   any
}

// list is read-only.
type list []value

// mapping is read-only.
type mapping interface {
	find(key value) (v value, there bool)
	size() int
	// keys passes each key once, in any order, until one isn't taken.
	keys(take func(key value) bool)
}

var null, yes, no = value{kind: nullKind}, value{kind: boolKind, num: 1}, value{kind: boolKind}

func boolValue(b bool) value {
	if b {
		return yes
	}
	return no
}

func intValue(n int64) value { return value{kind: intKind, num: uint64(n)} }

func uintValue(n uint64) value { return value{kind: uintKind, num: n} }

func doubleValue(n float64) value { return value{kind: doubleKind, num: math.Float64bits(n)} }

func stringValue(s string) value { return value{kind: stringKind, str: s} }

func durationValue(d time.Duration) value { return value{kind: durationKind, num: uint64(d)} }

func timeValue(t time.Time) value {
	return value{kind: timeKind, num: uint64(t.Unix()), nanos: int32(t.Nanosecond())}
}

func listValue(l list) value { return value{kind: listKind, ref: l} }

func mapValue(m mapping) value { return value{kind: mapKind, ref: m} }

func failed(why string) value { return value{kind: errorKind, str: why} }

// errors of evaluations; nobody sees their text but tests
var (
	errKind     = failed("no operation for values of these types")
	errMissing  = failed("no such attribute or key")
	errOverflow = failed("out of range")
	errZero     = failed("division by zero")
	errSteps    = failed("it takes too long")
	errConvert  = failed("no conversion")
)

func (v value) failed() bool { return v.kind == errorKind }

func (v value) int() int64 { return int64(v.num) }

func (v value) double() float64 { return math.Float64frombits(v.num) }

func (v value) duration() time.Duration { return time.Duration(v.num) }

func (v value) time() time.Time { return time.Unix(int64(v.num), int64(v.nanos)).UTC() }

func (v value) list() list { return v.ref.(list) }

func (v value) mapping() mapping { return v.ref.(mapping) }

// native is a value as metadata and filter state have them.
func native(v any) value {
	switch v := v.(type) {
	case nil:
		return null
	case bool:
		return boolValue(v)
	case string:
		return stringValue(v)
	case float64:
		return doubleValue(v)
	case int:
		return intValue(int64(v))
	case int64:
		return intValue(v)
	case uint64:
		return uintValue(v)
	case map[string]any:
		return mapValue(object(v))
	case []any:
		out := make(list, len(v))
		for i := range v {
			out[i] = native(v[i])
		}
		return listValue(out)
	}
	return errConvert
}
