package scrape

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// form is one of the two text formats, as strict as Prometheus reads it. Formats are at
// https://prometheus.io/docs/instrumenting/exposition_formats and https://prometheus.io/docs/specs/om.
type form struct {
	types     []string // of families
	exemplars bool     // and times in seconds
}

var (
	plainForm = form{types: []string{"counter", "gauge", "histogram", "summary", "untyped"}}
	openForm  = form{types: []string{"counter", "gauge", "histogram", "summary", "unknown", "info", "stateset", "gaugehistogram"}, exemplars: true}
)

// describes reads "# HELP NAME …", also of TYPE and UNIT.
func describes(line []byte) (kind, name []byte, ok bool) {
	kind, rest := word(line[1:])
	name, _ = word(rest)
	switch string(kind) {
	case "HELP", "TYPE", "UNIT":
		return kind, name, len(name) > 0
	}
	return nil, nil, false
}

// isDescription says whether what describes found is well-formed.
func (f form) isDescription(line []byte) bool {
	kind, rest := word(line[1:])
	name, rest := word(rest)
	if nameEnd(name) != len(name) || !utf8.Valid(line) {
		return false
	}
	what, rest := word(rest)
	return string(kind) != "TYPE" || slices.Contains(f.types, string(what)) && len(blank(rest)) == 0
}

// isSample says whether a line is NAME VALUE…, NAME{LABELS} VALUE… or, as new names are written,
// {"NAME",LABELS} VALUE….
func (f form) isSample(line []byte) bool {
	if !utf8.Valid(line) {
		return false
	}
	end := 0
	if line[0] != '{' {
		if end = nameEnd(line); end <= 0 || line[0] == '"' {
			return false
		}
	}
	rest := blank(line[end:])
	named := end > 0
	if len(rest) > 0 && rest[0] == '{' {
		behind, quoted, ok := labels(rest)
		if !ok || quoted == named {
			return false
		}
		rest, named = behind, true
	}
	value, rest := word(rest)
	return named && isNumber(value) && f.isTail(rest)
}

// isTail says whether text is what may follow a value: a time, and in OpenMetrics an exemplar.
func (f form) isTail(text []byte) bool {
	next, rest := word(text)
	if len(next) > 0 && next[0] != '#' {
		_, err := strconv.ParseInt(string(next), 10, 64)
		if err != nil && !(f.exemplars && isNumber(next)) {
			return false
		}
		next, rest = word(rest)
	}
	if !f.exemplars || len(next) == 0 {
		return len(next) == 0
	}
	rest = blank(rest)
	if string(next) != "#" || len(rest) == 0 || rest[0] != '{' {
		return false
	}
	behind, quoted, ok := labels(rest)
	value, time := word(behind)
	stamp, end := word(time)
	return ok && !quoted && isNumber(value) && (len(stamp) == 0 || isNumber(stamp)) && len(blank(end)) == 0
}

// labels cuts {NAME="VALUE",…} off. named says that a quoted name stands there alone: the metric's.
func labels(text []byte) (rest []byte, named, ok bool) {
	text = blank(text[1:])
	for len(text) > 0 && text[0] != '}' {
		end := nameEnd(text)
		if end <= 0 || bytes.IndexByte(text[:end], ':') >= 0 && text[0] != '"' {
			return nil, false, false
		}
		behind := blank(text[end:])
		switch {
		case len(behind) > 0 && behind[0] == '=':
			if behind, ok = labelValue(behind[1:]); !ok {
				return nil, false, false
			}
		case text[0] == '"' && !named:
			named = true
		default:
			return nil, false, false
		}
		if len(behind) == 0 || behind[0] != ',' && behind[0] != '}' {
			return nil, false, false
		}
		text = blank(bytes.TrimPrefix(behind, []byte(",")))
	}
	if len(text) == 0 {
		return nil, false, false
	}
	return text[1:], named, true
}

func labelValue(text []byte) (rest []byte, ok bool) {
	text = blank(text)
	if len(text) == 0 || text[0] != '"' {
		return nil, false
	}
	end := quoted(text)
	if end < 0 {
		return nil, false
	}
	return blank(text[end:]), true
}

// isNumber refuses two forms that Go knows and Prometheus doesn't.
func isNumber(text []byte) bool {
	_, err := strconv.ParseFloat(string(text), 64)
	return err == nil && !strings.ContainsAny(string(text), "pP_")
}

// nameEnd returns where a name ends that text begins with, quoted or not; 0 or -1 if there is none.
func nameEnd(text []byte) int {
	if len(text) > 0 && text[0] == '"' {
		return quoted(text)
	}
	end := 0
	for end < len(text) && isNameByte(text[end], end == 0) {
		end++
	}
	return end
}

func isNameByte(c byte, first bool) bool {
	return c == '_' || c == ':' || 'a' <= c|0x20 && c|0x20 <= 'z' || !first && '0' <= c && c <= '9'
}

// word cuts the first word off; one in quotes may have blanks in it.
func word(text []byte) (first, rest []byte) {
	text = blank(text)
	end := bytes.IndexAny(text, " \t")
	if len(text) > 0 && text[0] == '"' {
		end = quoted(text)
	}
	if end < 0 {
		return text, nil
	}
	return text[:end], text[end:]
}

func blank(text []byte) []byte { return bytes.TrimLeft(text, " \t") }

// quoted returns where the quoted string ends that text begins with, or -1.
func quoted(text []byte) int {
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return -1
}
