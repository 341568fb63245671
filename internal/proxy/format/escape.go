package format

// escaper rewrites line[start:], which a sender chose, so that it can't be taken for anything else.
type escaper func(line []byte, start int) []byte

const hexDigits = "0123456789ABCDEF"

// escapeLine writes control bytes, quotes and backslashes as \xNN: neither a line nor a quoted field can be ended by a
// value. The escape holds no quote itself, so that whoever counts quotes counts right.
func escapeLine(line []byte, start int) []byte {
	return rewrite(line, start, func(c byte) bool { return c < ' ' || c == '"' || c == '\\' || c == 0x7f }, func(line []byte, c byte) []byte {
		return append(line, '\\', 'x', hexDigits[c>>4], hexDigits[c&15])
	})
}

// escapeHeader leaves out what must not stand in a header's value.
func escapeHeader(line []byte, start int) []byte {
	return rewrite(line, start, func(c byte) bool { return c < ' ' && c != '\t' || c == 0x7f }, func(line []byte, _ byte) []byte { return line })
}

// rewrite replaces the bad bytes of line[start:]. Usually there is none, and nothing moves.
func rewrite(line []byte, start int, bad func(byte) bool, replace func([]byte, byte) []byte) []byte {
	for i := start; i < len(line); i++ {
		if !bad(line[i]) {
			continue
		}
		rest := string(line[i:])
		line = line[:i]
		for j := range len(rest) {
			if bad(rest[j]) {
				line = replace(line, rest[j])
			} else {
				line = append(line, rest[j])
			}
		}
		return line
	}
	return line
}
