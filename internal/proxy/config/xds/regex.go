package xds

import (
	"regexp/syntax"
	"strings"

	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/pattern"
)

// maxPrograms bounds all regexes of a resource, in instructions.
const maxPrograms = 1 << 20

// regex compiles source, once for the same text of a resource.
func (d *decoder) regex(source string) *config.Regex {
	if known, ok := d.regexes[source]; ok {
		return known
	}
	if !d.fits(source) {
		return nil
	}
	r, err := config.NewRegex(source)
	if err != nil {
		d.fail("regex %q: %s", excerpt(source), strings.TrimPrefix(err.Error(), "error parsing regexp: "))
		return nil
	}
	if d.regexes == nil {
		d.regexes = map[string]*config.Regex{}
	}
	d.regexes[source] = r
	return r
}

// fits reports whether source compiles to a program within bounds.
func (d *decoder) fits(source string) bool {
	size, err := pattern.Measure(source)
	if err != nil {
		d.fail("regex %q: %s", excerpt(source), err)
		return false
	}
	if d.instructions += size; d.instructions > maxPrograms {
		d.fail("all regexes need more than %d instructions", maxPrograms)
		return false
	}
	return true
}

// excerpt shortens a text for a message.
func excerpt(s string) string { return clip(s, 200) }

// clip shortens s to about n bytes.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}

func (d *decoder) matcherRegex(field string, m *matcherv3.RegexMatcher) (out *config.Regex) {
	d.in(field, func() { out = d.regex(m.GetRegex()) })
	return out
}

// rewrite decodes a RegexMatchAndSubstitute, nil if it isn't set.
func (d *decoder) rewrite(field string, m *matcherv3.RegexMatchAndSubstitute) (out *config.RegexRewrite) {
	if m == nil {
		return nil
	}
	d.in(field, func() {
		out = &config.RegexRewrite{Pattern: d.matcherRegex("pattern", m.Pattern), Substitution: m.Substitution}
		if out.Pattern != nil {
			d.substitution(m.Substitution, out.Pattern.Source)
		}
	})
	return out
}

// substitution checks RE2's syntax: \0 to \9 name groups, \\ is a backslash.
func (d *decoder) substitution(s, source string) {
	tree, err := syntax.Parse(source, syntax.Perl)
	if err != nil {
		return
	}
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			continue
		}
		i++
		switch {
		case i == len(s):
			d.failIn("substitution", "ends in a backslash")
		case s[i] == '\\':
		case s[i] < '0' || s[i] > '9':
			d.failIn("substitution", "a backslash is followed by neither a digit nor a backslash")
		case int(s[i]-'0') > tree.MaxCap():
			d.failIn("substitution", "\\%c: the pattern has %d groups", s[i], tree.MaxCap())
		}
	}
}
