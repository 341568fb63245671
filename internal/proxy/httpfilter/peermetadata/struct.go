package peermetadata

import (
	"encoding/binary"
	"errors"
	"maps"
	"math"
	"slices"
)

// A google.protobuf.Struct is written and read here without protobuf: it is a map, a value, and a list.
// https://protobuf.dev/programming-guides/encoding/ and google/protobuf/struct.proto.

// deepest is how far structs and lists may nest.
const deepest = 16

// ErrMalformed is the error of bytes that are no Struct.
var ErrMalformed = errors.New("not a serialized google.protobuf.Struct")

// Wire types.
const (
	varint, fixed64, bytesType, fixed32 = 0, 1, 2, 5
)

// EncodeStruct writes a Struct; keys are sorted, so that equal ones are equal bytes. Values are nil, bool, float64,
// string, []any and map[string]any; others are left out.
func EncodeStruct(m map[string]any) []byte { return appendStruct(nil, m) }

func appendStruct(b []byte, m map[string]any) []byte {
	for _, key := range slices.Sorted(maps.Keys(m)) {
		value, ok := appendValue(nil, m[key])
		if !ok {
			continue
		}
		entry := appendBytes(nil, 1, []byte(key))
		entry = appendBytes(entry, 2, value)
		b = appendBytes(b, 1, entry)
	}
	return b
}

func appendValue(b []byte, value any) ([]byte, bool) {
	switch v := value.(type) {
	case nil:
		return append(b, 1<<3|varint, 0), true
	case float64:
		return binary.LittleEndian.AppendUint64(append(b, 2<<3|fixed64), math.Float64bits(v)), true
	case string:
		return appendBytes(b, 3, []byte(v)), true
	case bool:
		if v {
			return append(b, 4<<3|varint, 1), true
		}
		return append(b, 4<<3|varint, 0), true
	case map[string]any:
		return appendBytes(b, 5, appendStruct(nil, v)), true
	case []any:
		var list []byte
		for _, each := range v {
			if item, ok := appendValue(nil, each); ok {
				list = appendBytes(list, 1, item)
			}
		}
		return appendBytes(b, 6, list), true
	default:
		return b, false
	}
}

func appendBytes(b []byte, field byte, content []byte) []byte {
	b = binary.AppendUvarint(append(b, field<<3|bytesType), uint64(len(content)))
	return append(b, content...)
}

// DecodeStruct reads a Struct. Unknown fields are skipped, of equal keys the last one counts.
func DecodeStruct(b []byte) (map[string]any, error) { return decodeStruct(b, deepest) }

func decodeStruct(b []byte, depth int) (map[string]any, error) {
	m := map[string]any{}
	if depth == 0 {
		return nil, ErrMalformed
	}
	return m, eachField(b, func(field, wire uint64, content []byte, _ uint64) error {
		if field != 1 || wire != bytesType {
			return nil
		}
		key, value, err := decodeEntry(content, depth)
		m[key] = value
		return err
	})
}

func decodeEntry(b []byte, depth int) (key string, value any, err error) {
	err = eachField(b, func(field, wire uint64, content []byte, _ uint64) error {
		switch {
		case field == 1 && wire == bytesType:
			key = string(content)
		case field == 2 && wire == bytesType:
			value, err = decodeValue(content, depth)
			return err
		}
		return nil
	})
	return key, value, err
}

func decodeValue(b []byte, depth int) (value any, err error) {
	err = eachField(b, func(field, wire uint64, content []byte, number uint64) error {
		var err error
		switch {
		case field == 1 && wire == varint:
			value = nil
		case field == 2 && wire == fixed64:
			value = math.Float64frombits(number)
		case field == 3 && wire == bytesType:
			value = string(content)
		case field == 4 && wire == varint:
			value = number != 0
		case field == 5 && wire == bytesType:
			value, err = decodeStruct(content, depth-1)
		case field == 6 && wire == bytesType:
			value, err = decodeList(content, depth-1)
		}
		return err
	})
	return value, err
}

func decodeList(b []byte, depth int) ([]any, error) {
	list := []any{}
	if depth <= 0 {
		return nil, ErrMalformed
	}
	err := eachField(b, func(field, wire uint64, content []byte, _ uint64) error {
		if field != 1 || wire != bytesType {
			return nil
		}
		value, err := decodeValue(content, depth)
		list = append(list, value)
		return err
	})
	return list, err
}

// eachField calls f for each field of a message: content of those with a length, number of the others.
func eachField(b []byte, f func(field, wire uint64, content []byte, number uint64) error) error {
	for len(b) > 0 {
		tag, n := binary.Uvarint(b)
		if n <= 0 || tag>>3 == 0 {
			return ErrMalformed
		}
		content, number, size := payload(b[n:], tag&7)
		if size < 0 {
			return ErrMalformed
		}
		if err := f(tag>>3, tag&7, content, number); err != nil {
			return err
		}
		b = b[n+size:]
	}
	return nil
}

// payload reads what follows a tag and returns how long it is; -1: it isn't whole.
func payload(b []byte, wire uint64) (content []byte, number uint64, size int) {
	switch {
	case wire == varint:
		number, n := binary.Uvarint(b)
		if n <= 0 {
			return nil, 0, -1
		}
		return nil, number, n
	case wire == fixed64 && len(b) >= 8:
		return nil, binary.LittleEndian.Uint64(b), 8
	case wire == fixed32 && len(b) >= 4:
		return nil, uint64(binary.LittleEndian.Uint32(b)), 4
	case wire == bytesType:
		length, n := binary.Uvarint(b)
		if n <= 0 || length > uint64(len(b)-n) {
			return nil, 0, -1
		}
		return b[n : n+int(length)], 0, n + int(length)
	default:
		return nil, 0, -1
	}
}
