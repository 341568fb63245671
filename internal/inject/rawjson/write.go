package rawjson

import "unicode/utf8"

// Append writes v to dst; nil is null.
func (v *Value) Append(dst []byte) []byte {
	switch {
	case v == nil:
		return append(dst, "null"...)
	case v.raw != "":
		return append(dst, v.raw...)
	case v.kind == List:
		return v.appendList(dst)
	}
	return v.appendObject(dst)
}

func (v *Value) appendObject(dst []byte) []byte {
	dst = append(dst, '{')
	for i, m := range v.Members() {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendQuoted(dst, m.Key)
		dst = append(dst, ':')
		dst = m.Value.Append(dst)
	}
	return append(dst, '}')
}

func (v *Value) appendList(dst []byte) []byte {
	dst = append(dst, '[')
	for i, item := range v.Items() {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = item.Append(dst)
	}
	return append(dst, ']')
}

// String is v's JSON text.
func (v *Value) String() string { return string(v.Append(nil)) }

// Freeze returns v as one piece of text with its tree, for values written out often.
func (v *Value) Freeze() *Value {
	if v == nil || v.raw != "" {
		return v
	}
	frozen := *v
	frozen.raw = v.String()
	return &frozen
}

// Quote is s as a JSON string.
func Quote(s string) string {
	if plain(s) {
		return `"` + s + `"`
	}
	return string(AppendQuoted(make([]byte, 0, len(s)+len(s)/4), s))
}

// plain says whether s can stand between quotes as it is.
func plain(s string) bool {
	for ; len(s) >= 8; s = s[8:] {
		if w := word(s); special(w)|w&high != 0 {
			return false
		}
	}
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

const hex = "0123456789abcdef"

// AppendQuoted writes s as a JSON string. Bytes that are no UTF-8 become the replacement character, as everywhere else
// in Kubernetes.
func AppendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	dst = AppendEscaped(dst, s)
	return append(dst, '"')
}

// AppendEscaped writes what stands between the quotes.
func AppendEscaped(dst []byte, s string) []byte {
	if plain(s) {
		return append(dst, s...)
	}
	if !utf8.ValidString(s) {
		s = string([]rune(s)) // which puts the replacement character for each byte that is none
	}
	for {
		end := skipPlain(s, 0)
		dst = append(dst, s[:end]...)
		if end == len(s) {
			return dst
		}
		switch c := s[end]; {
		case c >= 0x20:
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, '\\', 'n')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		s = s[end+1:]
	}
}
