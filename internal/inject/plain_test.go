package inject

import (
	"testing"

	"github.com/google/cel-go/cel"

	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
)

// TestPlainConditionsAreCELs: what is done here comes out as CEL has it, for pods that differ in all it looks at.
func TestPlainConditionsAreCELs(t *testing.T) {
	env, err := newEnv()
	if err != nil {
		t.Fatal(err)
	}
	for source, isPlain := range map[string]bool{
		"pod.name == 'a'":                                             true,
		"pod.name != namespace.name":                                  true,
		"'a' == pod.name || pod.restartPolicy == 'Never'":             true,
		"pod.restartPolicy != 'Always' && !proxy.native":              true,
		"!(pod.name == '' || proxy.native) && namespace.name != 'b'":  true,
		"pod.terminationGracePeriodSeconds == 30":                     true,
		"(pod.name == 'a') == proxy.native":                           true,
		"pod.name == 'a' || pod.name == 'b' || pod.name == 'c'":       true,
		"proxy.native && true":                                        true,
		"pod.terminationGracePeriodSeconds > 30":                      false,
		"pod.name.startsWith('a')":                                    false,
		"pod.name == 'a' && 'x' in pod.labels":                        false,
		"pod.labels == {'a': 'b'}":                                    false,
		"has(pod.labels.app) || pod.name == 'a'":                      false,
		"pod.terminationGracePeriodSeconds == 30 ? 'short' : 'other'": false,
	} {
		e, err := compileExpression(env, source, bounds{maxCost, maxValue})
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		if e.plain != nil != isPlain {
			t.Errorf("%s: done without CEL: %v, want %v", source, e.plain != nil, isPlain)
		}
		if e.plain == nil {
			continue
		}
		checked, _ := env.Compile(unreserve(source))
		program, err := env.Program(checked)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range plainVars(t) {
			comparePlain(t, e, program, v)
		}
	}
}

func comparePlain(t *testing.T, e *expression, program cel.Program, v *vars) {
	t.Helper()
	want, _, err := program.Eval(v)
	if err != nil {
		t.Fatal(err)
	}
	if got := e.plain(v); got != want.Value() {
		t.Errorf("%s of %s, native %v: %v, CEL has %v", e.source, v.pod.root, v.settings.native, got, want.Value())
	}
}

func plainVars(t *testing.T) (all []*vars) {
	t.Helper()
	for _, text := range []string{
		`{}`, `{"metadata":{"name":"a"},"spec":{"restartPolicy":"Never"}}`,
		`{"metadata":{"name":"b"},"spec":{"restartPolicy":"Always","terminationGracePeriodSeconds":31}}`,
	} {
		root, err := rawjson.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		for _, native := range []bool{false, true} {
			for _, name := range []string{"a", "b"} {
				all = append(all, &vars{pod: viewPod(root), namespace: Namespace{Name: name}, settings: &settings{native: native}})
			}
		}
	}
	return all
}
