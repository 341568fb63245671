package rawjson

import "math/bits"

// skipSpace is where the next byte is that is no white space.
func skipSpace(text string, i int) int {
	for ; i < len(text) && text[i] <= ' '; i++ {
		switch text[i] {
		case ' ', '\n', '\t', '\r':
		default:
			return i
		}
	}
	return i
}

// Eight bytes at once: the same byte in all places, and the highest bit of each.
const (
	each = 0x0101010101010101
	high = 0x8080808080808080
)

// skipPlain is where a string has its next quote, backslash or control character. Strings are most of a document; this
// looks at eight bytes at once.
func skipPlain(text string, i int) int {
	for ; i+8 <= len(text); i += 8 {
		if found := special(word(text[i:])); found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
	}
	for ; i < len(text); i++ {
		if c := text[i]; c == '"' || c == '\\' || c < 0x20 {
			return i
		}
	}
	return i
}

func word(s string) uint64 {
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// special has the highest bit set of the first byte of w that is a quote, a backslash or below 0x20, and of no byte
// before it: a subtraction that borrows shows where, and what it borrows from comes later.
func special(w uint64) uint64 {
	quote, backslash := w^each*'"', w^each*'\\'
	return ((quote-each)&^quote | (backslash-each)&^backslash | (w-each*0x20)&^w) & high
}

// skipScalar is where a number or a word of a checked text ends.
func skipScalar(text string, i int) int {
	for ; i < len(text); i++ {
		switch text[i] {
		case ',', '}', ']', ' ', '\n', '\t', '\r':
			return i
		}
	}
	return i
}

// skipString is where a string of a checked text ends.
func skipString(text string, i int) int {
	for i = skipPlain(text, i+1); text[i] != '"'; i = skipPlain(text, i+2) {
	}
	return i + 1
}
