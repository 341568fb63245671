package hpack

import (
	"strings"

	"golang.org/x/net/http2/hpack"
)

// Huffman codes are 5 to 30 bits long. The tree is cut into tables that take eight bits a step: most symbols need one
// step, none needs more than four.

// A cell of a table: a symbol with the bits of this step it used, or the table the next step looks in.
type cell struct {
	symbol byte
	bits   uint8  // 1–8; 0: go on in table next, or nothing is here
	next   uint16 // 0: no such code
}

var huffman = buildHuffman()

// buildHuffman derives the codes from x/net's encoder: eight times the same symbol is as many bytes as its code has
// bits, and starts with the code.
func buildHuffman() [][256]cell {
	tables := make([][256]cell, 1)
	for symbol := range 256 {
		text := strings.Repeat(string([]byte{byte(symbol)}), 8)
		code := hpack.AppendHuffmanString(nil, text)
		tables = addCode(tables, byte(symbol), code, len(code))
	}
	return tables
}

func addCode(tables [][256]cell, symbol byte, code []byte, bits int) [][256]cell {
	at := uint16(0)
	for ; bits > 8; bits -= 8 {
		c := &tables[at][code[0]]
		if c.next == 0 {
			c.next = uint16(len(tables))
			tables = append(tables, [256]cell{})
		}
		at, code = tables[at][code[0]].next, code[1:]
	}
	start := int(code[0]) &^ (1<<(8-bits) - 1)
	for i := range 1 << (8 - bits) {
		tables[at][start+i] = cell{symbol: symbol, bits: uint8(bits)}
	}
	return tables
}

// maxHuffman is the most bytes that n bytes of Huffman code decode to: the shortest code has five bits.
func maxHuffman(n int) int { return n*8/5 + 1 }

// appendHuffman decodes src behind dst, which has room for maxHuffman(len(src)) bytes. It reports false for codes that
// don't exist, padding of more than seven bits or other than ones, and EOS.
func appendHuffman(dst, src []byte) ([]byte, bool) {
	var acc uint64 // the lowest have bits are yet to be read
	have, table := uint(0), &huffman[0]
	for _, b := range src {
		acc, have = acc<<8|uint64(b), have+8
		for have >= 8 {
			c := table[byte(acc>>(have-8))]
			switch {
			case c.bits != 0:
				dst = append(dst, c.symbol)
				have -= uint(c.bits)
				table = &huffman[0]
			case c.next != 0:
				have -= 8
				table = &huffman[c.next]
			default:
				return dst, false
			}
		}
	}
	return finishHuffman(dst, acc, have, table)
}

// finishHuffman reads the last bits: whole codes, then ones as padding.
func finishHuffman(dst []byte, acc uint64, have uint, table *[256]cell) ([]byte, bool) {
	for have > 0 {
		c := table[byte(acc<<(8-have))|byte(1<<(8-have)-1)]
		if c.bits == 0 || uint(c.bits) > have {
			break
		}
		dst = append(dst, c.symbol)
		have -= uint(c.bits)
		table = &huffman[0]
	}
	padding := byte(1<<have - 1)
	return dst, table == &huffman[0] && byte(acc)&padding == padding
}
