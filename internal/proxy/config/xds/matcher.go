package xds

import (
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// stringMatch decodes a StringMatcher.
func (d *decoder) stringMatch(m *matcherv3.StringMatcher) *config.StringMatch {
	out := &config.StringMatch{IgnoreCase: m.GetIgnoreCase()}
	switch p := m.GetMatchPattern().(type) {
	case *matcherv3.StringMatcher_Exact:
		out.Value = p.Exact
	case *matcherv3.StringMatcher_Prefix:
		out.Kind, out.Value = config.StringPrefix, p.Prefix
	case *matcherv3.StringMatcher_Suffix:
		out.Kind, out.Value = config.StringSuffix, p.Suffix
	case *matcherv3.StringMatcher_Contains:
		out.Kind, out.Value = config.StringContains, p.Contains
	case *matcherv3.StringMatcher_SafeRegex:
		out.Kind, out.IgnoreCase = config.StringRegex, false
		out.Regex = d.matcherRegex("safe_regex", p.SafeRegex)
	case *matcherv3.StringMatcher_Custom:
		d.failIn("custom", "not supported")
	default:
		d.fail("no pattern to match")
	}
	if out.IgnoreCase {
		out.Value = strings.ToLower(out.Value)
	}
	out.Value = d.intern(out.Value)
	return out
}

// stringMatches decodes a repeated field of them.
func (d *decoder) stringMatches(field string, list []*matcherv3.StringMatcher) []config.StringMatch {
	var out []config.StringMatch
	for i, m := range list {
		d.at(field, i, func() { out = append(out, *d.stringMatch(m)) })
	}
	return out
}

// headerMatches decodes a repeated HeaderMatcher.
func (d *decoder) headerMatches(field string, list []*routev3.HeaderMatcher) []config.HeaderMatch {
	var out []config.HeaderMatch
	for i, m := range list {
		d.at(field, i, func() { out = append(out, *d.headerMatch(m)) })
	}
	return out
}

func (d *decoder) headerMatch(m *routev3.HeaderMatcher) *config.HeaderMatch {
	out := &config.HeaderMatch{
		Name:   d.intern(strings.ToLower(m.GetName())),
		Invert: m.GetInvertMatch(), MissingIsEmpty: m.GetTreatMissingHeaderAsEmpty(),
	}
	if out.Name == "" {
		d.failIn("name", "empty")
	}
	switch s := m.GetHeaderMatchSpecifier().(type) {
	case nil:
		out.Present = new(bool)
		*out.Present = true
	case *routev3.HeaderMatcher_PresentMatch:
		present := s.PresentMatch
		out.Present = &present
	case *routev3.HeaderMatcher_RangeMatch:
		out.Range = &config.Range{Start: s.RangeMatch.GetStart(), End: s.RangeMatch.GetEnd()}
	default:
		out.Value = d.headerValue(m)
	}
	return out
}

// headerValue decodes the specifiers that match text, most of which are older than string_match.
func (d *decoder) headerValue(m *routev3.HeaderMatcher) (out *config.StringMatch) {
	switch s := m.GetHeaderMatchSpecifier().(type) {
	case *routev3.HeaderMatcher_StringMatch:
		d.in("string_match", func() { out = d.stringMatch(s.StringMatch) })
	case *routev3.HeaderMatcher_ExactMatch:
		out = &config.StringMatch{Value: d.intern(s.ExactMatch)}
	case *routev3.HeaderMatcher_PrefixMatch:
		out = &config.StringMatch{Kind: config.StringPrefix, Value: d.intern(s.PrefixMatch)}
	case *routev3.HeaderMatcher_SuffixMatch:
		out = &config.StringMatch{Kind: config.StringSuffix, Value: d.intern(s.SuffixMatch)}
	case *routev3.HeaderMatcher_ContainsMatch:
		out = &config.StringMatch{Kind: config.StringContains, Value: d.intern(s.ContainsMatch)}
	case *routev3.HeaderMatcher_SafeRegexMatch:
		out = &config.StringMatch{Kind: config.StringRegex, Regex: d.matcherRegex("safe_regex_match", s.SafeRegexMatch)}
	default:
		d.fail("this way to match is not supported")
	}
	return out
}

func (d *decoder) queryMatches(list []*routev3.QueryParameterMatcher) []config.QueryMatch {
	var out []config.QueryMatch
	for i, m := range list {
		d.at("query_parameters", i, func() { out = append(out, d.queryMatch(m)) })
	}
	return out
}

func (d *decoder) queryMatch(m *routev3.QueryParameterMatcher) config.QueryMatch {
	out := config.QueryMatch{Name: d.intern(m.GetName())}
	switch s := m.GetQueryParameterMatchSpecifier().(type) {
	case nil:
	case *routev3.QueryParameterMatcher_StringMatch:
		d.in("string_match", func() { out.Value = d.stringMatch(s.StringMatch) })
	case *routev3.QueryParameterMatcher_PresentMatch:
		present := s.PresentMatch
		out.Present = &present
	default:
		d.fail("this way to match is not supported")
	}
	return out
}

// metadataMatches decodes a repeated MetadataMatcher.
func (d *decoder) metadataMatches(field string, list []*matcherv3.MetadataMatcher) []config.MetadataMatch {
	var out []config.MetadataMatch
	for i, m := range list {
		d.at(field, i, func() { out = append(out, *d.metadataMatch(m)) })
	}
	return out
}

func (d *decoder) metadataMatch(m *matcherv3.MetadataMatcher) *config.MetadataMatch {
	out := &config.MetadataMatch{Filter: d.intern(m.GetFilter()), Invert: m.GetInvert()}
	for i, s := range m.GetPath() {
		if s.GetKey() == "" {
			d.at("path", i, func() { d.fail("no key") })
		}
		out.Path = append(out.Path, d.intern(s.GetKey()))
	}
	if len(out.Path) == 0 {
		d.failIn("path", "empty")
	}
	d.in("value", func() { out.Value = d.valueMatch(m.GetValue()) })
	return out
}

func (d *decoder) valueMatch(m *matcherv3.ValueMatcher) (out config.ValueMatch) {
	switch p := m.GetMatchPattern().(type) {
	case *matcherv3.ValueMatcher_NullMatch_:
		out.Null = true
	case *matcherv3.ValueMatcher_StringMatch:
		d.in("string_match", func() { out.String = d.stringMatch(p.StringMatch) })
	case *matcherv3.ValueMatcher_BoolMatch:
		value := p.BoolMatch
		out.Bool = &value
	case *matcherv3.ValueMatcher_PresentMatch:
		value := p.PresentMatch
		out.Present = &value
	case *matcherv3.ValueMatcher_DoubleMatch:
		d.numberMatch(p.DoubleMatch, &out)
	case *matcherv3.ValueMatcher_ListMatch:
		d.in("list_match.one_of", func() {
			one := d.valueMatch(p.ListMatch.GetOneOf())
			out.List = &one
		})
	case *matcherv3.ValueMatcher_OrMatch:
		for i, each := range p.OrMatch.GetValueMatchers() {
			d.at("or_match.value_matchers", i, func() { out.Or = append(out.Or, d.valueMatch(each)) })
		}
	default:
		d.fail("no value to match")
	}
	return out
}

func (d *decoder) numberMatch(m *matcherv3.DoubleMatcher, out *config.ValueMatch) {
	switch p := m.GetMatchPattern().(type) {
	case *matcherv3.DoubleMatcher_Exact:
		value := p.Exact
		out.Number = &value
	case *matcherv3.DoubleMatcher_Range:
		out.Range = &[2]float64{p.Range.GetStart(), p.Range.GetEnd()}
	default:
		d.failIn("double_match", "no value to match")
	}
}
