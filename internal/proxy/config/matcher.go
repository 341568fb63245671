package config

import (
	"regexp"
	"strings"
)

// Regex is an RE2 expression that must match the whole text.
type Regex struct {
	Source string
	full   *regexp.Regexp // Source between \A and \z
	inner  *regexp.Regexp // Source as it is, for substitutions
}

// NewRegex compiles source.
func NewRegex(source string) (*Regex, error) {
	inner, err := regexp.Compile(source)
	if err != nil {
		return nil, err
	}
	full, err := regexp.Compile(`\A(?:` + source + `)\z`)
	if err != nil {
		return nil, err
	}
	return &Regex{Source: source, full: full, inner: inner}, nil
}

// Match reports whether the whole of text matches.
func (r *Regex) Match(text string) bool { return r.full.MatchString(text) }

// Replace replaces what matches in text by substitution, in Go's template syntax (${1}).
func (r *Regex) Replace(text, substitution string) string {
	return r.inner.ReplaceAllString(text, substitution)
}

// Fill replaces each {name} in template by what the group of that name matched in text.
func (r *Regex) Fill(text, template string) string {
	groups := r.full.FindStringSubmatch(text)
	if groups == nil {
		return template
	}
	for i, name := range r.full.SubexpNames() {
		if name != "" {
			template = strings.ReplaceAll(template, "{"+name+"}", groups[i])
		}
	}
	return template
}

// StringKind is how a StringMatch compares.
type StringKind uint8

// The kinds of string matches. The zero kind is exact.
const (
	StringExact StringKind = iota
	StringPrefix
	StringSuffix
	StringContains
	StringRegex
)

// StringMatch is an envoy.type.matcher.v3.StringMatcher. With IgnoreCase Value is in lower case.
type StringMatch struct {
	Kind       StringKind
	Value      string
	Regex      *Regex
	IgnoreCase bool
}

// Match reports whether text matches.
func (m *StringMatch) Match(text string) bool {
	if m.Kind == StringRegex {
		return m.Regex.Match(text)
	}
	if m.IgnoreCase {
		text = strings.ToLower(text)
	}
	switch m.Kind {
	case StringPrefix:
		return strings.HasPrefix(text, m.Value)
	case StringSuffix:
		return strings.HasSuffix(text, m.Value)
	case StringContains:
		return strings.Contains(text, m.Value)
	default:
		return text == m.Value
	}
}

// HeaderMatch is a route.v3.HeaderMatcher. Exactly one of Value, Range and Present decides.
type HeaderMatch struct {
	Name           string // lower case; :method, :authority, :path
	Value          *StringMatch
	Range          *Range
	Present        *bool
	Invert         bool
	MissingIsEmpty bool // treat_missing_header_as_empty
}

// Range holds start ≤ n < end.
type Range struct{ Start, End int64 }

// QueryMatch is a QueryParameterMatcher; a nil Value asks for presence.
type QueryMatch struct {
	Name    string
	Value   *StringMatch
	Present *bool
}

// MetadataKey names a value in filter metadata.
type MetadataKey struct {
	Filter string
	Path   []string
}

// MetadataMatch is a matcher.v3.MetadataMatcher: the value at a path in filter metadata.
type MetadataMatch struct {
	Filter string
	Path   []string
	Value  ValueMatch
	Invert bool
}

// ValueMatch is a matcher.v3.ValueMatcher; exactly one field is set.
type ValueMatch struct {
	Null    bool
	String  *StringMatch
	Number  *float64
	Range   *[2]float64 // start ≤ n < end
	Bool    *bool
	Present *bool
	List    *ValueMatch // one of the list
	Or      []ValueMatch
}
