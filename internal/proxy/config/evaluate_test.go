package config

import "testing"

func TestHeaderMatch(t *testing.T) {
	yes, no := true, false
	exact := &StringMatch{Value: "a"}
	for i, c := range []struct {
		m     HeaderMatch
		value string
		there bool
		want  bool
	}{
		{HeaderMatch{Value: exact}, "a", true, true},
		{HeaderMatch{Value: exact}, "b", true, false},
		{HeaderMatch{Value: exact, Invert: true}, "b", true, true},
		{HeaderMatch{Value: exact}, "", false, false},
		{HeaderMatch{Value: exact, Invert: true}, "", false, false},
		{HeaderMatch{Value: exact, Invert: true, MissingIsEmpty: true}, "", false, true},
		{HeaderMatch{Range: &Range{-3, 5}}, "-3", true, true},
		{HeaderMatch{Range: &Range{-3, 5}}, "5", true, false},
		{HeaderMatch{Range: &Range{-3, 5}}, "4x", true, false},
		{HeaderMatch{Range: &Range{-3, 5}, Invert: true}, "4x", true, true},
		{HeaderMatch{Present: &yes}, "", true, true},
		{HeaderMatch{Present: &yes}, "", false, false},
		{HeaderMatch{Present: &yes, Invert: true}, "", false, true},
		{HeaderMatch{Present: &no}, "", false, true},
		{HeaderMatch{Present: &no, Invert: true}, "", true, true},
		{HeaderMatch{}, "", true, true},
	} {
		if got := c.m.Match(c.value, c.there); got != c.want {
			t.Errorf("%d: %v, want %v", i, got, c.want)
		}
	}
}

func TestMetadataMatch(t *testing.T) {
	yes, seven := true, 7.0
	metadata := map[string]map[string]any{"f": {
		"s": "text", "n": 7.0, "b": true, "null": nil, "list": []any{"a", "b"}, "deep": map[string]any{"k": "v"},
	}}
	for i, c := range []struct {
		path []string
		m    ValueMatch
		want bool
	}{
		{[]string{"s"}, ValueMatch{String: &StringMatch{Kind: StringPrefix, Value: "te"}}, true},
		{[]string{"s"}, ValueMatch{Number: &seven}, false},
		{[]string{"n"}, ValueMatch{Number: &seven}, true},
		{[]string{"n"}, ValueMatch{Range: &[2]float64{7, 8}}, true},
		{[]string{"n"}, ValueMatch{Range: &[2]float64{6, 7}}, false},
		{[]string{"b"}, ValueMatch{Bool: &yes}, true},
		{[]string{"null"}, ValueMatch{Null: true}, true},
		{[]string{"none"}, ValueMatch{Null: true}, false},
		{[]string{"list"}, ValueMatch{List: &ValueMatch{String: &StringMatch{Value: "b"}}}, true},
		{[]string{"list"}, ValueMatch{List: &ValueMatch{String: &StringMatch{Value: "c"}}}, false},
		{[]string{"deep", "k"}, ValueMatch{String: &StringMatch{Value: "v"}}, true},
		{[]string{"s", "k"}, ValueMatch{Present: &yes}, false},
		{[]string{"deep"}, ValueMatch{Present: &yes}, true},
		{[]string{"n"}, ValueMatch{Or: []ValueMatch{{Null: true}, {Number: &seven}}}, true},
		{nil, ValueMatch{Present: &yes}, false},
	} {
		m := MetadataMatch{Filter: "f", Path: c.path, Value: c.m}
		if got := m.Match(metadata); got != c.want {
			t.Errorf("%d: %v, want %v", i, got, c.want)
		}
		m.Invert = true
		if got := m.Match(metadata); got == c.want {
			t.Errorf("%d inverted: %v", i, got)
		}
	}
}

func TestRegexRewrite(t *testing.T) {
	for _, c := range [][4]string{
		{"/a/b", `^/a/(.*)$`, `/x/\1/y`, "/x/b/y"},
		{"/a/a", "a", "b", "/b/b"},
		{"/a", "(a)", `$1\0\\`, `/$1a\`},
		{"/a", "a", `\x\`, `/\x\`},
	} {
		pattern, err := NewRegex(c[1])
		if err != nil {
			t.Fatal(err)
		}
		if got := (&RegexRewrite{pattern, c[2]}).Apply(c[0]); got != c[3] {
			t.Errorf("%v: %q", c, got)
		}
	}
}
