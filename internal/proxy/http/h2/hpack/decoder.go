package hpack

import (
	"fmt"
	"unsafe"
)

// Decoder reads the header blocks of one direction of a connection. NewDecoder makes one.
type Decoder struct {
	table   table
	allowed uint32 // what we advertised
	// memory is what is left of the piece literals are put into. A byte of it is written once, before a string shows
	// it, so the strings may be kept.
	memory []byte
}

// pieceSize is how much memory literals get at a time: a few usual heads, and little enough to be pinned by one.
const pieceSize = 512

// NewDecoder returns a Decoder whose peer was told tableSize as SETTINGS_HEADER_TABLE_SIZE.
func NewDecoder(tableSize uint32) *Decoder {
	return &Decoder{allowed: tableSize, table: table{limit: tableSize}}
}

// Decode reads a whole block and hands its fields to sink. After an error the Decoder can't go on.
func (d *Decoder) Decode(block []byte, sink Sink) error {
	for first := true; len(block) > 0; {
		var err error
		b := block[0]
		switch {
		case b&0x80 != 0:
			block, err = d.indexed(block, sink)
		case b&0xc0 == 0x40:
			block, err = d.literal(block, 6, true, sink)
		case b&0xe0 == 0x20 && first:
			if block, err = d.resize(block); err != nil {
				return err
			}
			continue // another may follow
		case b&0xe0 == 0x20:
			return fmt.Errorf("%w: table size inside of it", ErrDecoding)
		default: // without indexing, or never indexed
			block, err = d.literal(block, 4, false, sink)
		}
		if err != nil {
			return err
		}
		first = false
	}
	return nil
}

func (d *Decoder) resize(block []byte) ([]byte, error) {
	n, rest, ok := readInt(block, 5)
	if !ok || n > uint64(d.allowed) {
		return nil, fmt.Errorf("%w: table size over %d", ErrDecoding, d.allowed)
	}
	d.table.setLimit(uint32(n))
	return rest, nil
}

func (d *Decoder) indexed(block []byte, sink Sink) ([]byte, error) {
	n, rest, ok := readInt(block, 7)
	if !ok {
		return nil, errInteger
	}
	e, err := d.lookup(n)
	if err != nil {
		return nil, err
	}
	sink.Field(e.name, e.value)
	return rest, nil
}

func (d *Decoder) lookup(n uint64) (entry, error) {
	switch {
	case n == 0:
	case n <= staticLen:
		return staticTable[n], nil
	case n-staticLen <= uint64(d.table.len()):
		return d.table.at(d.table.next - (n - staticLen)), nil
	}
	return entry{}, fmt.Errorf("%w: there is no entry %d", ErrDecoding, n)
}

func (d *Decoder) literal(block []byte, prefix uint, keep bool, sink Sink) ([]byte, error) {
	n, block, ok := readInt(block, prefix)
	if !ok {
		return nil, errInteger
	}
	var e entry
	var err error
	if n > 0 {
		if e, err = d.lookup(n); err != nil {
			return nil, err
		}
	} else if e.name, block, err = d.text(block, keep); err != nil {
		return nil, err
	}
	if e.value, block, err = d.text(block, keep); err != nil {
		return nil, err
	}
	if keep {
		d.table.add(e)
	}
	sink.Field(e.name, e.value)
	return block, nil
}

// text reads a string. One that the table keeps gets memory of its own, so that it pins nothing else.
func (d *Decoder) text(block []byte, keep bool) (string, []byte, error) {
	if len(block) == 0 {
		return "", nil, errInteger
	}
	coded := block[0]&0x80 != 0
	n, block, ok := readInt(block, 7)
	if !ok || n > uint64(len(block)) {
		return "", nil, fmt.Errorf("%w: a string is cut off", ErrDecoding)
	}
	raw, rest := block[:n], block[n:]
	if !coded {
		if keep {
			return string(raw), rest, nil
		}
		return d.view(append(d.room(len(raw)), raw...)), rest, nil
	}
	text, ok := appendHuffman(d.room(maxHuffman(len(raw))), raw)
	if !ok {
		return "", nil, fmt.Errorf("%w: Huffman code", ErrDecoding)
	}
	if keep {
		return string(text), rest, nil
	}
	return d.view(text), rest, nil
}

// room returns an empty slice with room for n bytes.
func (d *Decoder) room(n int) []byte {
	if n > pieceSize/2 {
		return make([]byte, 0, n)
	}
	if n > len(d.memory) {
		d.memory = make([]byte, pieceSize)
	}
	return d.memory[:0]
}

// view makes text, which stands in what room returned, a string for good.
func (d *Decoder) view(text []byte) string {
	if len(text) == 0 {
		return ""
	}
	if len(d.memory) > 0 && &d.memory[0] == &text[0] {
		d.memory = d.memory[len(text):]
	}
	return unsafe.String(&text[0], len(text))
}

var errInteger = fmt.Errorf("%w: an integer is cut off or too large", ErrDecoding)

// readInt reads an integer with an n-bit prefix, RFC 7541 section 5.1, of at most 32 bits and no more bytes than that
// needs.
func readInt(p []byte, n uint) (uint64, []byte, bool) {
	if len(p) == 0 {
		return 0, nil, false
	}
	limit := byte(1<<n - 1)
	value := uint64(p[0] & limit)
	if value < uint64(limit) {
		return value, p[1:], true
	}
	for i, shift := 1, uint(0); i < len(p) && shift <= 28; i, shift = i+1, shift+7 {
		value += uint64(p[i]&0x7f) << shift
		if p[i]&0x80 == 0 {
			return value, p[i+1:], value < 1<<32
		}
	}
	return 0, nil, false
}
