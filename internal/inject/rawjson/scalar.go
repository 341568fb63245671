package rawjson

func (c *checker) word(i int, word string) int {
	if len(c.text)-i < len(word) || c.text[i:i+len(word)] != word {
		return c.fail(i, "unknown word")
	}
	return i + len(word)
}

func (c *checker) string(i int) int {
	for i++; ; {
		i = skipPlain(c.text, i)
		switch b := c.peek(i); {
		case b == '"':
			return i + 1
		case b == '\\':
			n := escape(c.text[i+1:])
			if n == 0 {
				return c.fail(i, "bad escape in a string")
			}
			i += 1 + n
		case i >= len(c.text):
			return c.fail(i, "string without an end")
		default:
			return c.fail(i, "control character in a string")
		}
	}
}

// escape is the length of an escape after its backslash; 0 if it is none.
func escape(text string) int {
	if text == "" {
		return 0
	}
	switch text[0] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 1
	case 'u':
		if len(text) < 5 {
			return 0
		}
		for _, c := range []byte(text[1:5]) {
			if !isHex(c) {
				return 0
			}
		}
		return 5
	}
	return 0
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func (c *checker) number(i int) int {
	if c.peek(i) == '-' {
		i++
	}
	digits := c.digits(i)
	switch {
	case c.peek(i) == '0':
		i++
	case digits == i:
		return c.fail(i, "want a value")
	default:
		i = digits
	}
	if c.peek(i) == '.' {
		i++
		if digits = c.digits(i); digits == i {
			return c.fail(i, "want digits after the point")
		}
		i = digits
	}
	if b := c.peek(i); b == 'e' || b == 'E' {
		i++
		if b := c.peek(i); b == '+' || b == '-' {
			i++
		}
		if digits = c.digits(i); digits == i {
			return c.fail(i, "want digits in the exponent")
		}
		i = digits
	}
	return i
}

func (c *checker) digits(i int) int {
	for b := c.peek(i); '0' <= b && b <= '9'; b = c.peek(i) {
		i++
	}
	return i
}
