package cel

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// quoted is a string's or bytes' source, taken apart.
type quoted struct {
	bytes, raw  bool
	quote       string // one or three
	inner, rest string
}

// cutPrefix takes b and r off, of either case, in this order.
func cutPrefix(text string) (q quoted, rest string) {
	if text != "" && text[0]|0x20 == 'b' {
		q.bytes, text = true, text[1:]
	}
	if text != "" && text[0]|0x20 == 'r' {
		q.raw, text = true, text[1:]
	}
	for _, quote := range []string{`"""`, `'''`, `"`, `'`} {
		if strings.HasPrefix(text, quote) {
			q.quote = quote
			return q, text[len(quote):]
		}
	}
	return q, text
}

// cut finds the string that text begins with: unended says that it has no end.
func cut(text string) (q quoted, is, unended bool) {
	q, body := cutPrefix(text)
	if q.quote == "" {
		return q, false, false
	}
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case strings.HasPrefix(body[i:], q.quote):
			q.inner, q.rest = body[:i], body[i+len(q.quote):]
			return q, true, false
		case c == '\\' && !q.raw:
			i++
		case (c == '\n' || c == '\r') && len(q.quote) == 1:
			return q, true, true
		}
	}
	return q, true, true
}

func scanString(text string) (kind string, size int) {
	q, is, unended := cut(text)
	switch {
	case !is:
		return "", 0
	case unended:
		return "the string has no end, expected " + q.quote, 0
	case q.bytes:
		return bytesToken, len(text) - len(q.rest)
	}
	return stringToken, len(text) - len(q.rest)
}

var newlines = strings.NewReplacer("\r\n", "\n", "\r", "\n")

// stringLiteral is the value of a string's or bytes' source.
func stringLiteral(source string) (value, error) {
	q, _, _ := cut(source)
	kind := stringKind
	if q.bytes {
		kind = bytesKind
	}
	text := newlines.Replace(q.inner)
	if q.raw || !strings.Contains(text, `\`) {
		return value{kind: kind, str: text}, nil
	}
	var out []byte
	for text != "" {
		before, escape, more := strings.Cut(text, `\`)
		out = append(out, before...)
		if !more {
			break
		}
		var err error
		if out, text, err = unescape(out, escape, q.bytes); err != nil {
			return value{}, err
		}
	}
	return value{kind: kind, str: string(out)}, nil
}

// simple are the escapes of one character, and what they stand for.
const simple, plain = "abfnrtv\\'\"`?", "\a\b\f\n\r\t\v\\'\"`?"

// unescape appends what the escape stands for that text begins with, without its backslash.
func unescape(out []byte, text string, bytes bool) (all []byte, rest string, err error) {
	c := text[0] // a string doesn't end behind a backslash
	if i := strings.IndexByte(simple, c); i >= 0 {
		return append(out, plain[i]), text[1:], nil
	}
	from, digits, base := 1, 0, 16
	switch {
	case c >= '0' && c <= '3':
		from, digits, base = 0, 3, 8
	case c|0x20 == 'x':
		digits = 2
	case c == 'u' && !bytes:
		digits = 4
	case c == 'U' && !bytes:
		digits = 8
	}
	if digits == 0 {
		return nil, "", fmt.Errorf("the escape \\%c is unknown", c)
	}
	end := min(from+digits, len(text))
	n, err := strconv.ParseUint(text[from:end], base, 32)
	switch {
	case err != nil || end < from+digits:
		return nil, "", fmt.Errorf("the escape \\%c needs %d digits", c, digits)
	case bytes:
		return append(out, byte(n)), text[end:], nil
	case n > utf8.MaxRune || !utf8.ValidRune(rune(n)):
		return nil, "", fmt.Errorf("%#x is no character", n)
	}
	return utf8.AppendRune(out, rune(n)), text[end:], nil
}

// numberLiteral is the value of a number's source, with its sign.
func numberLiteral(kind, source string) (value, error) {
	switch kind {
	case uintToken:
		digits, base := integer(source[:len(source)-1])
		n, err := strconv.ParseUint(digits, base, 64)
		return uintValue(n), outOf(err, "an unsigned integer of 64 bits")
	case doubleToken:
		n, err := strconv.ParseFloat(source, 64)
		return doubleValue(n), outOf(err, "a double")
	}
	digits, base := integer(source)
	n, err := strconv.ParseInt(digits, base, 64)
	return intValue(n), outOf(err, "an integer of 64 bits")
}

// integer takes the mark of a hexadecimal one out. A leading 0 means nothing.
func integer(source string) (digits string, base int) {
	if hex := strings.Replace(source, "0x", "", 1); hex != source {
		return hex, 16
	}
	return source, 10
}

func outOf(err error, what string) error {
	if err != nil {
		return errors.New("it is no number that fits " + what)
	}
	return nil
}
