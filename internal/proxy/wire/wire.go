// Package wire writes and reads protobuf's encoding without its messages, for the few of them that the proxy itself
// says to others: OTLP's and ext_authz's. Generated types of them would cost each proxy memory and a dependency. Tests
// of who uses this read and write with the real types.
//
// https://protobuf.dev/programming-guides/encoding/
package wire

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// Number is a field's.
type Number = protowire.Number

// AppendText writes a string; what isn't UTF-8 in it becomes question marks, because readers refuse it.
func AppendText(b []byte, field Number, text string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), strings.ToValidUTF8(text, "?"))
}

// AppendBytes writes bytes or an embedded message.
func AppendBytes(b []byte, field Number, content []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), content)
}

// AppendNumber writes an integer, a bool or an enum.
func AppendNumber(b []byte, field Number, n uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), n)
}

// AppendFixed writes a fixed64.
func AppendFixed(b []byte, field Number, n uint64) []byte {
	return protowire.AppendFixed64(protowire.AppendTag(b, field, protowire.Fixed64Type), n)
}

// AppendMap writes a map of strings, in the order of its keys.
func AppendMap(b []byte, field Number, m map[string]string) []byte {
	for _, key := range slices.Sorted(maps.Keys(m)) {
		b = AppendBytes(b, field, AppendText(AppendText(nil, 1, key), 2, m[key]))
	}
	return b
}

// ErrMalformed is the error of bytes that are no message.
var ErrMalformed = errors.New("malformed protobuf message")

// Each calls f for each field of a message, in their order: content of those with a length, n of integers. Others are
// skipped.
func Each(b []byte, f func(field Number, content []byte, n uint64) error) error {
	for len(b) > 0 {
		field, kind, size := protowire.ConsumeTag(b)
		if size < 0 {
			return ErrMalformed
		}
		b = b[size:]
		var content []byte
		var n uint64
		switch kind {
		case protowire.BytesType:
			content, size = protowire.ConsumeBytes(b)
		case protowire.VarintType:
			n, size = protowire.ConsumeVarint(b)
		default:
			size = protowire.ConsumeFieldValue(field, kind, b)
		}
		if size < 0 {
			return ErrMalformed
		}
		b = b[size:]
		if kind != protowire.BytesType && kind != protowire.VarintType {
			continue
		}
		if err := f(field, content, n); err != nil {
			return err
		}
	}
	return nil
}
