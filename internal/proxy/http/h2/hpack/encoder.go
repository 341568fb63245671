package hpack

import (
	"hash/maphash"
	"strconv"
	"strings"
	"unsafe"
)

// Encoder writes the header blocks of one direction of a connection: Begin, then Append for each field. The zero value
// uses no dynamic table until SetLimit; NewEncoder's has RFC 7541's default.
type Encoder struct {
	table   table
	resized bool   // the peer doesn't know yet
	seen    []seen // allocated with the first field that isn't static
	number  [20]byte
}

// seen is a hint where a field may be in the table. A collision only makes a field cost its full length again.
type seen struct {
	hash   uint32
	number uint32 // in the table, counted since the beginning plus one; 0: seen once, not put in
}

const seenSize = 128

// NewEncoder returns an Encoder with a table of DefaultTableSize.
func NewEncoder() *Encoder { return &Encoder{table: table{limit: DefaultTableSize}} }

// SetLimit obeys the peer's SETTINGS_HEADER_TABLE_SIZE, of which at most DefaultTableSize is used. A limit raised
// before the block that announces a lowered one is left alone: that would take two announcements, which x/net's decoder
// doesn't always read, and a smaller table is never wrong.
func (e *Encoder) SetLimit(n uint32) {
	n = min(n, DefaultTableSize)
	if n == e.table.limit || e.resized && n > e.table.limit {
		return
	}
	e.resized = true
	e.table.setLimit(n)
}

// Begin starts a block: it announces a changed table, RFC 7541 section 4.2.
func (e *Encoder) Begin(dst []byte) []byte {
	if !e.resized {
		return dst
	}
	e.resized = false
	return appendInt(dst, 0x20, 5, uint64(e.table.limit))
}

// Append writes one field behind dst. Name is in lower case.
func (e *Encoder) Append(dst []byte, name, value string) []byte {
	at := staticNames[name]
	if at.index != 0 {
		for i := at.index; i <= at.last; i++ {
			if staticTable[i].value == value && value != "" {
				return append(dst, 0x80|i)
			}
		}
	}
	if at.secret {
		return appendLiteral(dst, 0x10, 4, at.index, name, value)
	}
	return e.appendDynamic(dst, at.index, name, value)
}

// appendDynamic writes a field that isn't in the static table. One seen for the second time goes into the table:
// what differs with each request would only push out what doesn't.
func (e *Encoder) appendDynamic(dst []byte, nameIndex uint8, name, value string) []byte {
	if entry := (entry{name, value}); entry.size() > e.table.limit/2 {
		return appendLiteral(dst, 0, 4, nameIndex, name, value)
	}
	if e.seen == nil {
		e.seen = make([]seen, seenSize)
	}
	hash := uint32(maphash.String(seed, name)*31 + maphash.String(seed, value))
	slot := &e.seen[hash%seenSize]
	if slot.hash != hash {
		*slot = seen{hash: hash}
		return appendLiteral(dst, 0, 4, nameIndex, name, value)
	}
	if index := e.find(slot.number, name, value); index != 0 {
		return appendInt(dst, 0x80, 7, index)
	}
	e.table.add(entry{strings.Clone(name), strings.Clone(value)})
	slot.number = uint32(e.table.next)
	return appendLiteral(dst, 0x40, 6, nameIndex, name, value)
}

var seed = maphash.MakeSeed()

// find returns the index of the entry a hint points to, 0 if another or none is there.
func (e *Encoder) find(number uint32, name, value string) uint64 {
	back := uint32(e.table.next) - number // numbers may wrap around, distances don't
	if number == 0 || int64(back) >= int64(e.table.len()) {
		return 0
	}
	at := e.table.next - 1 - uint64(back)
	if entry := e.table.at(at); entry.name != name || entry.value != value {
		return 0
	}
	return staticLen + e.table.next - at
}

// appendLiteral writes a field in full. Strings aren't Huffman coded: that costs both sides more time than the bytes.
func appendLiteral(dst []byte, kind byte, prefix uint, nameIndex uint8, name, value string) []byte {
	dst = appendInt(dst, kind, prefix, uint64(nameIndex))
	if nameIndex == 0 {
		dst = append(appendInt(dst, 0, 7, uint64(len(name))), name...)
	}
	return append(appendInt(dst, 0, 7, uint64(len(value))), value...)
}

// appendInt writes an integer with an n-bit prefix behind the bits of kind.
func appendInt(dst []byte, kind byte, n uint, value uint64) []byte {
	limit := uint64(1<<n - 1)
	if value < limit {
		return append(dst, kind|byte(value))
	}
	dst = append(dst, kind|byte(limit))
	for value -= limit; value >= 0x80; value >>= 7 {
		dst = append(dst, byte(value)|0x80)
	}
	return append(dst, byte(value))
}

// staticNames finds names in the static table.
var staticNames = indexStatic()

// staticName is where a name's entries stand, and whether its values must not be guessable by their compressed size,
// RFC 7541 section 7.1.3.
type staticName struct {
	index, last uint8
	secret      bool
}

func indexStatic() map[string]staticName {
	names := map[string]staticName{}
	for i := uint8(1); i <= staticLen; i++ {
		at, there := names[staticTable[i].name]
		if !there {
			at.index = i
		}
		at.last = i
		names[staticTable[i].name] = at
	}
	for _, name := range []string{"authorization", "proxy-authorization", "cookie", "set-cookie"} {
		at := names[name]
		at.secret = true
		names[name] = at
	}
	return names
}

// AppendInt writes a field whose value is a number.
func (e *Encoder) AppendInt(dst []byte, name string, value int64) []byte {
	text := strconv.AppendInt(e.number[:0], value, 10)
	return e.Append(dst, name, unsafe.String(&text[0], len(text))) // what is kept of a value is a copy
}
