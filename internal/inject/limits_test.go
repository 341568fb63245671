package inject_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject"
	"github.com/pillion-mesh/pillion/internal/inject/injecttest"
)

// nested is an expression of so many loops within each other, ten rounds each.
func nested(loops int) string {
	if loops == 0 {
		return "true"
	}
	return "[0,1,2,3,4,5,6,7,8,9].all(x, " + nested(loops-1) + ")"
}

// chained applies a call again and again.
func chained(start, call string, times int) string { return start + strings.Repeat(call, times) }

// inAnnotation is a template whose one annotation is this expression.
func inAnnotation(expression string) string {
	return "metadata:\n  annotations:\n    x: >-\n      ${" + expression + "}\n"
}

// TestHostileTemplates: none of these hangs or fills the memory, whether it is folded or runs on the corpus; each is
// refused with the cause.
func TestHostileTemplates(t *testing.T) {
	const cost, size = "exceeded" /* the cost, or on a busy machine the time */, "larger than 65536 bytes"
	for _, row := range []struct{ name, expression, want string }{
		{"endless, folded", nested(12) + " ? 'a' : 'b'", cost},
		{"endless on a pod", nested(12) + " ? pod.name : 'b'", cost},
		{"replace", chained("'a'", ".replace('a', 'aaaaaaaaaa')", 40), size},
		{"replace on a pod", chained("(pod.name + 'a')", ".replace('a', 'aaaaaaaaaa')", 40), size},
		{"join", chained("['a']", ".map(x, [x,x,x,x,x,x,x,x,x,x].join(x))", 10) + "[0]", size},
		{"plus", chained("['a']", ".map(x, x + x)", 40) + "[0]", size},
		{"plus of lists", chained("[[1]]", ".map(x, x + x)", 40) + ".size() > 0 ? 'a' : 'b'", size},
		{"lists in lists", chained("[[1]]", ".map(x, [x, x])", 20) + " == [] ? 'a' : 'b'", size},
		{"lists in maps", chained("[{'a': ''}]", ".map(x, {'a': string(x.size()), 'b': '', 'c': ''})", 3) + "[0]['a']", ""},
		{"maps in maps", chained("[dyn({'a': 1})]", ".map(x, dyn({'a': x, 'b': x}))", 14) + " == [] ? 'a' : 'b'", size},
		{"split", chained("['aaaaaaaaaa']", ".map(x, x + x)", 12) + "[0].split('').size() > 0 ? 'a' : 'b'", size},
		{"deep types", strings.Repeat("[", 200) + "1" + strings.Repeat("]", 200) + " == [] ? 'a' : 'b'", "want at most 48"},
		{"deep types, chained", chained("[[1]]", ".map(x, [x, x])", 200) + " == [] ? 'a' : 'b'", "want at most 48"},
		{"regular expression", "'a'.matches('(x{1000}){1000}') ? 'a' : 'b'", "matches isn't available"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := compileWith(inAnnotation(row.expression))
			if row.want == "" && err != nil || row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want)) {
				t.Errorf("got %v\nwant %q", err, row.want)
			}
		})
	}
}

// many is a template of n environment variables of this value.
func many(n int, value string) string {
	return "spec:\n  containers:\n  - name: istio-proxy\n    env:\n" +
		repeated("    - {name: E%d, value: \""+value+"\"}\n", n)
}

// manyVariables is an Injector's templates, each with as many variables as it can hold.
func manyVariables(templates, n int, value string) func(*v1alpha1.InjectorSpec) {
	text := strings.ReplaceAll(many(n, value), "\n,", "\n")
	return func(s *v1alpha1.InjectorSpec) {
		for _, name := range "abcdefgh"[:templates] {
			s.Templates = append(s.Templates, v1alpha1.Template{Name: string(name), Inline: text})
		}
	}
}

// TestSlowTemplates: each expression is small, but not all of them together.
func TestSlowTemplates(t *testing.T) {
	for name, row := range map[string]struct {
		edit func(*v1alpha1.InjectorSpec)
		want string
	}{
		"on a pod":       {manyVariables(1, 150, "${"+nested(3)+" && "+nested(3)+" ? pod.name : 'b'}"), "take more than 200000 steps"},
		"much in all":    {manyVariables(1, 40, "${"+chained("(pod.name + 'aaaaaaaa')", ".replace('a', 'aaaaaaaa')", 4)+"}"), "make more than 1048576 bytes"},
		"much in folded": {manyVariables(1, 40, "${"+chained("'aaaaaaaa'", ".replace('a', 'aaaaaaaa')", 4)+"}"), "make more than 1048576 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			inj := injector("default", "default", row.edit)
			if _, err := inject.Compile(&inj, operator()); err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("got %v\nwant %q", err, row.want)
			}
		})
	}
}

// TestInterruptedIsDeadline: an expression stopped in its middle is a missed deadline, not a broken template.
func TestInterruptedIsDeadline(t *testing.T) {
	set := setOf(t, injector("default", "default", func(s *v1alpha1.InjectorSpec) {
		s.Templates = []v1alpha1.Template{{Name: "loops", Inline: inAnnotation(nested(3) + " ? pod.name : 'b'")}}
		s.DefaultTemplates = []string{"loops"}
	}))
	ctx, cancel := context.WithDeadline(context.Background(), time.Unix(0, 0))
	defer cancel()
	result := set.Inject(ctx, inject.Request{
		Entry: inject.EntryNamespace, Namespace: inject.Namespace{Name: "shop"}, Pod: []byte(injecttest.TypicalPod(1)),
	})
	if result.Reason() != inject.ReasonDeadline {
		t.Errorf("%s: %s", result.Reason(), result.Message())
	}
}

// TestFunctions are those of strings.
func TestFunctions(t *testing.T) {
	for expression, want := range map[string]string{
		"'a-b-a'.replace('a', 'xy')":        "xy-b-xy",
		"'ab'.replace('', '-')":             "-a-b-",
		"'a,b,c'.split(',').join('+')":      "a+b+c",
		"'a,b'.split(',').join()":           "ab",
		"'héllo'.substring(1)":              "éllo",
		"'héllo'.substring(1, 3)":           "él",
		"'ÀaZ'.lowerAscii()":                "Àaz",
		"'Àaz'.upperAscii()":                "ÀAZ",
		"' a '.trim()":                      "a",
		"'abc'.contains('b') ? 'yes' : 'n'": "yes",
	} {
		set := setOf(t, injector("default", "default", func(s *v1alpha1.InjectorSpec) {
			s.Templates = []v1alpha1.Template{{Name: "f", Inline: inAnnotation(expression)}}
			s.DefaultTemplates = []string{"f"}
		}))
		result := injectTypical(set, injecttest.TypicalPod(1), false)
		if got := podOf(t, &result).Annotations["x"]; got != want {
			t.Errorf("%s = %q, want %q", expression, got, want)
		}
	}
	for _, wrong := range []string{"'abc'.substring(2, 1)", "'abc'.substring(4)", "'abc'.substring(-1)"} {
		if _, err := compileWith(inAnnotation(wrong)); err == nil || !strings.Contains(err.Error(), "no substring") {
			t.Errorf("%s: %v", wrong, err)
		}
	}
}
