package mx

import "encoding/binary"

// Field numbers of google.protobuf.Any.
const (
	anyTypeURL = 1
	anyValue   = 2
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

// valueOf returns the value of an Any; of several the last one counts. Fields it doesn't know are passed over.
func valueOf(b []byte) (value []byte, ok bool) {
	for len(b) > 0 {
		tag, n := binary.Uvarint(b)
		if n <= 0 || tag>>3 == 0 {
			return nil, false
		}
		b = b[n:]
		head, size, ok := fieldSize(b, tag&7)
		if !ok {
			return nil, false
		}
		if tag == anyValue<<3|wireBytes {
			value = b[head:size]
		}
		b = b[size:]
	}
	return value, true
}

// fieldSize returns how many bytes a field takes after its tag, and how many of them are a length before its body.
func fieldSize(b []byte, wire uint64) (head, size int, ok bool) {
	switch wire {
	case wireVarint:
		_, n := binary.Uvarint(b)
		return 0, n, n > 0
	case wireFixed64:
		return 0, 8, len(b) >= 8
	case wireFixed32:
		return 0, 4, len(b) >= 4
	case wireBytes:
		length, n := binary.Uvarint(b)
		if n <= 0 || length > uint64(len(b)-n) {
			return 0, 0, false
		}
		return n, n + int(length), true
	}
	return 0, 0, false
}
