package format

// escaper rewrites line[start:], which a sender chose, so that it can't be taken for anything else.
type escaper func(line []byte, start int) []byte

const hexDigits = "0123456789ABCDEF"

// badIn are the bytes a value must not bring into a line or a header.
var (
	badInLine   = bytesThat(func(c byte) bool { return c < ' ' || c == '"' || c == '\\' || c == 0x7f })
	badInHeader = bytesThat(func(c byte) bool { return c < ' ' && c != '\t' || c == 0x7f })
)

func bytesThat(are func(byte) bool) *[256]bool {
	var set [256]bool
	for c := range set {
		set[c] = are(byte(c))
	}
	return &set
}

// escapeLine writes control bytes, quotes and backslashes as \xNN: neither a line nor a quoted field can be ended by a
// value. The escape holds no quote itself, so that whoever counts quotes counts right.
func escapeLine(line []byte, start int) []byte {
	for i := start; i < len(line); i++ {
		if badInLine[line[i]] {
			return rewrite(line, i, badInLine, func(line []byte, c byte) []byte {
				return append(line, '\\', 'x', hexDigits[c>>4], hexDigits[c&15])
			})
		}
	}
	return line
}

// escapeHeader leaves out what must not stand in a header's value.
func escapeHeader(line []byte, start int) []byte {
	for i := start; i < len(line); i++ {
		if badInHeader[line[i]] {
			return rewrite(line, i, badInHeader, func(line []byte, _ byte) []byte { return line })
		}
	}
	return line
}

// rewrite replaces the bad bytes of line[start:].
func rewrite(line []byte, start int, bad *[256]bool, replace func([]byte, byte) []byte) []byte {
	rest := string(line[start:])
	line = line[:start]
	for i := range len(rest) {
		if bad[rest[i]] {
			line = replace(line, rest[i])
		} else {
			line = append(line, rest[i])
		}
	}
	return line
}
