package cel

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// kinds of tokens besides the operators, whose kind is their text
const (
	endToken    = "the end"
	identToken  = "a name"
	intToken    = "an integer"
	uintToken   = "an unsigned integer"
	doubleToken = "a number"
	stringToken = "a string"
	bytesToken  = "bytes"
)

type token struct {
	kind, text string // text is the source's
	at         int    // byte
}

// String is how errors show it.
func (t token) String() string {
	if t.kind == endToken {
		return endToken
	}
	return fmt.Sprintf("%.40q", t.text)
}

// operators, of which none is the beginning of a later one.
var operators = []string{"==", "!=", "<=", ">=", "&&", "||", "<", ">", "[", "]", "{", "}", "(", ")", ".", ",", "-", "!", "?", ":", "+", "*", "/", "%"}

// keywords are no names. true, false and null are values.
var keywords = []string{"in", "true", "false", "null"}

// reserved are names that only fields may have.
var reserved = []string{
	"as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop", "package", "namespace",
	"return", "var", "void", "while",
}

// syntaxError is what isn't understood, at a byte of the text.
type syntaxError struct {
	message string
	at      int
}

// place says it with line and column, which count from 1, in characters.
func (e *syntaxError) place(text string) error {
	before := text[:min(e.at, len(text))]
	line := before[strings.LastIndexByte(before, '\n')+1:]
	return fmt.Errorf("%s (line %d, column %d)", e.message, strings.Count(before, "\n")+1, utf8.RuneCountInString(line)+1)
}

// lex cuts text into tokens, the last one endToken.
func lex(text string) (all []token, err *syntaxError) {
	for at := 0; ; {
		at += blank(text[at:])
		rest := text[at:]
		kind, size := scan(rest)
		switch {
		case rest == "":
			return append(all, token{kind: endToken, at: at}), nil
		case size == 0 && kind != "":
			return nil, &syntaxError{kind, at}
		case size == 0:
			r, _ := utf8.DecodeRuneInString(rest)
			return nil, &syntaxError{fmt.Sprintf("the character %q has no meaning here", r), at}
		}
		all = append(all, token{kind, rest[:size], at})
		at += size
	}
}

// blank is the length of the white space and comments text begins with.
func blank(text string) int {
	rest := text
	for {
		rest = strings.TrimLeft(rest, " \t\r\n\f")
		if !strings.HasPrefix(rest, "//") {
			return len(text) - len(rest)
		}
		if _, after, more := strings.Cut(rest, "\n"); more {
			rest = after
		} else {
			return len(text)
		}
	}
}

// scan finds the token text begins with. Without one, kind is what is wrong with it, or "".
func scan(text string) (kind string, size int) {
	if kind, size = scanString(text); size > 0 || kind != "" {
		return kind, size
	}
	if kind, size = scanNumber(text); size > 0 {
		return kind, size
	}
	if size = span(text, isNameByte); size > 0 {
		if slices.Contains(keywords, text[:size]) {
			return text[:size], size
		}
		return identToken, size
	}
	for _, o := range operators {
		if strings.HasPrefix(text, o) {
			return o, len(o)
		}
	}
	return "", 0
}

// span is how many bytes at text's beginning are of a class.
func span(text string, of func(byte) bool) int {
	for i := range len(text) {
		if !of(text[i]) {
			return i
		}
	}
	return len(text)
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isHex(c byte) bool { return isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'f' }

func isNameByte(c byte) bool { return c == '_' || isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'z' }

// scanNumber: a number has a digit behind its point, and may begin with the point.
func scanNumber(text string) (kind string, size int) {
	digits := span(text, isDigit)
	kind, size = intToken, digits
	if hex := strings.TrimPrefix(text, "0x"); hex != text && span(hex, isHex) > 0 {
		size = 2 + span(hex, isHex)
	} else {
		if fraction := strings.TrimPrefix(text[size:], "."); fraction != text[size:] && span(fraction, isDigit) > 0 {
			kind, size = doubleToken, size+1+span(fraction, isDigit)
		}
		if size > 0 && exponent(text[size:]) > 0 {
			kind, size = doubleToken, size+exponent(text[size:])
		}
	}
	if kind == intToken && size > 0 && size < len(text) && text[size]|0x20 == 'u' {
		return uintToken, size + 1
	}
	return kind, size
}

func exponent(text string) int {
	if text == "" || text[0]|0x20 != 'e' {
		return 0
	}
	sign := 0
	if len(text) > 1 && (text[1] == '+' || text[1] == '-') {
		sign = 1
	}
	if digits := span(text[1+sign:], isDigit); digits > 0 {
		return 1 + sign + digits
	}
	return 0
}
