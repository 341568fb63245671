package inject

import "strings"

// part of a scalar: literal text, or an expression and where in the scalar it starts.
type part struct {
	literal string
	source  string
	offset  int
	isExpr  bool
}

// splitPlaceholders cuts a scalar at its ${…}. "$${" is a literal "${". Braces and quotes inside an expression are
// CEL's, so the end is the brace that closes it. The error says where a placeholder without end begins.
func splitPlaceholders(text string) ([]part, error) {
	var parts []part
	literal := ""
	for i := 0; i < len(text); {
		switch {
		case strings.HasPrefix(text[i:], "$${"):
			literal += "${"
			i += 3
		case strings.HasPrefix(text[i:], "${"):
			end := expressionEnd(text, i+2)
			if end < 0 {
				return nil, &celError{column: i, message: `"${" without a closing "}"; a literal one is written "$${"`}
			}
			if literal != "" {
				parts = append(parts, part{literal: literal})
				literal = ""
			}
			parts = append(parts, part{source: text[i+2 : end], offset: i + 2, isExpr: true})
			i = end + 1
		default:
			next := strings.IndexByte(text[i+1:], '$')
			if next < 0 {
				next = len(text) - i - 1
			}
			literal += text[i : i+1+next]
			i += 1 + next
		}
	}
	if literal != "" || parts == nil {
		parts = append(parts, part{literal: literal})
	}
	return parts, nil
}

// expressionEnd finds the brace that closes an expression starting at from; -1 if there is none.
func expressionEnd(text string, from int) int {
	depth := 0
	for i := from; i < len(text); i++ {
		switch c := text[i]; c {
		case '{':
			depth++
		case '}':
			if depth == 0 {
				return i
			}
			depth--
		case '\'', '"':
			if i = quotedEnd(text, i); i < 0 {
				return -1
			}
		}
	}
	return -1
}

func quotedEnd(text string, from int) int {
	for i := from + 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case text[from]:
			return i
		}
	}
	return -1
}
