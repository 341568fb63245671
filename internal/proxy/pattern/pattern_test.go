package pattern

import (
	"regexp/syntax"
	"strings"
	"testing"
)

func TestCompile(t *testing.T) {
	for source, want := range map[string]string{
		"":                               "",
		`^/v[0-9]+/(users|carts)$`:       "",
		`[\pL&&[a-z]]{1,1000}`:           "",
		`(`:                              "missing closing ): `(`",
		`(a{64}){65}`:                    "invalid repeat count: `{65}`",
		`a{999}b{999}c{999}d{999}e{9}`:   "",
		`a{999}b{999}c{999}d{999}e{999}`: "it needs more than 4096 instructions",
		strings.Repeat(`\pL{999}`, 999):  "it needs more than 4096 instructions",
		strings.Repeat("a", 5000):        "it needs more than 4096 instructions",
		strings.Repeat("a", MaxSource):   "it needs more than 4096 instructions",
		strings.Repeat("a", MaxSource+1): "it is longer than 65536 bytes",
	} {
		re, err := Compile(source)
		if got := text(err); got != want || (re == nil) != (err != nil) {
			t.Errorf("%.30q: %q, want %q", source, got, want)
		}
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// FuzzMeasure: what is measured to be small is, and compiles.
func FuzzMeasure(f *testing.F) {
	for _, s := range []string{"a|b", `^(?:x{3,9}\d*)+?$`, `(?i)[^a-z]{0,1000}`, `((x{30}){30}){30}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, source string) {
		size, err := Measure(source)
		if err != nil {
			return
		}
		if re, err := Compile(source); err != nil || re == nil {
			t.Fatalf("%q was measured and doesn't compile: %v", source, err)
		}
		tree, _ := syntax.Parse(source, syntax.Perl)
		if p, err := syntax.Compile(tree.Simplify()); err == nil && len(p.Inst) != size {
			t.Errorf("%q: %d instructions, measured %d", source, len(p.Inst), size)
		}
	})
}
