package mx

import (
	"encoding/binary"
	"strings"
)

// Field numbers of google.protobuf.Any, Struct, its map entries, and Value.
const (
	anyTypeURL = 1
	anyValue   = 2

	structFields = 1
	entryKey     = 1
	entryValue   = 2

	valueString = 3
	valueStruct = 5
)

// Wire types of protobuf.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

func appendBytes(b []byte, number uint64, body []byte) []byte {
	b = binary.AppendUvarint(b, number<<3|wireBytes)
	b = binary.AppendUvarint(b, uint64(len(body)))
	return append(b, body...)
}

func stringValue(text string) []byte { return appendBytes(nil, valueString, []byte(text)) }
func structValue(body []byte) []byte { return appendBytes(nil, valueStruct, body) }

// appendField appends one entry of a Struct.
func appendField(b []byte, key string, value []byte) []byte {
	entry := appendBytes(nil, entryKey, []byte(key))
	entry = appendBytes(entry, entryValue, value)
	return appendBytes(b, structFields, entry)
}

// eachField calls use for each length-delimited field of a message. Fields of other wire types are passed over.
func eachField(b []byte, use func(number uint64, body []byte)) error {
	for len(b) > 0 {
		tag, n := binary.Uvarint(b)
		if n <= 0 || tag>>3 == 0 {
			return ErrMalformed
		}
		b = b[n:]
		size, body, ok := fieldSize(b, tag&7)
		if !ok {
			return ErrMalformed
		}
		if body {
			length, n := binary.Uvarint(b)
			use(tag>>3, b[n:n+int(length)])
		}
		b = b[size:]
	}
	return nil
}

// fieldSize returns how many bytes a field takes after its tag, and whether they are a length and a body.
func fieldSize(b []byte, wire uint64) (size int, body, ok bool) {
	switch wire {
	case wireVarint:
		_, n := binary.Uvarint(b)
		return n, false, n > 0
	case wireFixed64:
		return 8, false, len(b) >= 8
	case wireFixed32:
		return 4, false, len(b) >= 4
	case wireBytes:
		length, n := binary.Uvarint(b)
		if n <= 0 || length > uint64(len(b)-n) {
			return 0, false, false
		}
		return n + int(length), true, true
	}
	return 0, false, false
}

// pbValue is a google.protobuf.Value that is a string, a Struct, or something nobody here reads.
type pbValue struct {
	bytes              []byte
	isString, isStruct bool
}

// text is a string's value, without what isn't UTF-8: it becomes a label.
func (v pbValue) text() string {
	if !v.isString {
		return ""
	}
	return strings.ToValidUTF8(string(v.bytes), "")
}

// eachEntry calls use for each field of a Struct.
func eachEntry(b []byte, use func(key string, v pbValue)) error {
	var inner error
	err := eachField(b, func(number uint64, entry []byte) {
		if number != structFields || inner != nil {
			return
		}
		var key string
		var v pbValue
		var bad error
		inner = eachField(entry, func(number uint64, body []byte) {
			switch number {
			case entryKey:
				key = string(body)
			case entryValue:
				bad = v.parse(body)
			}
		})
		if inner == nil {
			inner = bad
		}
		if inner == nil {
			use(key, v)
		}
	})
	if err != nil {
		return err
	}
	return inner
}

// parse reads a Value. It is a oneof: the last field counts.
func (v *pbValue) parse(b []byte) error {
	return eachField(b, func(number uint64, body []byte) {
		*v = pbValue{bytes: body, isString: number == valueString, isStruct: number == valueStruct}
	})
}
