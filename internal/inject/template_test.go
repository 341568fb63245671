package inject_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject"
)

// compileWith compiles an Injector with one more template.
func compileWith(text string) (*inject.Program, error) {
	inj := injector("default", "default", func(s *v1alpha1.InjectorSpec) {
		s.Templates = []v1alpha1.Template{{Name: "extras", Inline: text}}
	})
	return inject.Compile(&inj, operator())
}

// TestBrokenTemplates: what is wrong is said with line and column.
func TestBrokenTemplates(t *testing.T) {
	for _, row := range []struct{ name, text, want string }{
		{"unknown field", "spec:\n  containers:\n  - name: istio-proxy\n    imagee: x", "4:5 spec.containers[0].imagee: unknown field; did you mean image?"},
		{"unknown top field", "status: {}", "1:1 status: unknown field"},
		{"name can't be set", "metadata:\n  name: x", "2:3 metadata.name: unknown field"},
		{"mapping for a string", "spec:\n  nodeName: {a: b}", "2:13 spec.nodeName wants string, this is a mapping"},
		{"list for a mapping", "spec: []", "1:7 spec wants mapping, this is a list"},
		{"integer for a string", "spec:\n  containers:\n  - name: a\n    env:\n    - {name: X, value: 1}", `5:24 spec.containers[0].env[0].value wants string, "1" is an integer; put it in quotes`},
		{"string for an integer", "spec:\n  terminationGracePeriodSeconds: soon", `2:34 spec.terminationGracePeriodSeconds wants integer, "soon" is a string`},
		{"too large an integer", "spec:\n  priority: 99999999999", "2:13 spec.priority wants integer"},
		{"bad quantity", "spec:\n  containers:\n  - name: a\n    resources: {limits: {cpu: lots}}", `4:31 spec.containers[0].resources.limits.cpu wants quantity, "lots" is a string`},
		{"null", "spec:\n  nodeName:", "spec.nodeName wants string"},
		{"expression of another type", "spec:\n  containers:\n  - name: a\n    env:\n    - {name: X, value: \"${1 + 2}\"}", "5:24 spec.containers[0].env[0].value wants string, expression gives int"},
		{"list where one is wanted", "spec:\n  nodeName: ${capture.args}", "2:13 spec.nodeName wants string, expression gives list(string)"},
		{"misspelt variable", "spec:\n  nodeName: ${pod.nmae}", "2:15 spec.nodeName: pod.nmae: there is no such variable; did you mean pod.name?"},
		{"misspelt by its case", "spec:\n  nodeName: ${pod.nodename}", "2:15 spec.nodeName: pod.nodename: there is no such variable; did you mean pod.nodeName?"},
		{"misspelt in the middle", "spec:\n  nodeName: a-${pod.name + namespace.nam}", "2:28 spec.nodeName: namespace.nam: there is no such variable; did you mean namespace.name?"},
		{"misspelt first word", "spec:\n  nodeName: ${prxy.image}", "2:15 spec.nodeName: prxy.image: there is no such variable; did you mean proxy.image?"},
		{"misspelt before a key", "spec:\n  nodeName: ${pod.lables.app}", "2:15 spec.nodeName: pod.lables.app: there is no such variable; did you mean pod.labels.app?"},
		{"misspelt values", "spec:\n  nodeName: ${vlaues.team}", "2:15 spec.nodeName: vlaues.team: there is no such variable; did you mean values.team?"},
		{"misspelt in a loop", "spec:\n  nodeName: ${pod.containers.map(c, c.name + pod.nmae).join('')}", "2:46 spec.nodeName: pod.nmae: there is no such variable; did you mean pod.name?"},
		{"misspelt on the second line", "spec:\n  nodeName: >-\n    ${pod.name +\n    pod.nmae}", "spec.nodeName: pod.nmae: there is no such variable; did you mean pod.name?"},
		{"nothing like it", "spec:\n  nodeName: ${weather}", "2:15 spec.nodeName: weather: there is no such variable"},
		{"no value by itself", "spec:\n  nodeName: ${pod}", "2:15 spec.nodeName: pod is no value by itself; name a field of it, such as pod.name"},
		{"misspelt field of a container", "spec:\n  nodeName: ${pod.containers[0].imgae}", "spec.nodeName: imgae: there is no such field; did you mean image?"},
		{"field of a text", "spec:\n  nodeName: ${pod.name.first}", "spec.nodeName: type 'string' does not support field selection"},
		{"syntax", "spec:\n  nodeName: ${1 +}", "2:18 spec.nodeName: Syntax error"},
		{"empty placeholder", "spec:\n  nodeName: ${ }", "2:15 spec.nodeName: the placeholder is empty"},
		{"no end", "spec:\n  nodeName: a${pod.name", `2:14 spec.nodeName: "${" without a closing "}"`},
		{"mapping in a text", "spec:\n  nodeName: a-${pod.labels}", "want string, int, uint, double or bool, expression gives map(string, string)"},
		{"optional in a text", "spec:\n  nodeName: a-${pod.labels[?'x']}", "can't be optional"},
		{"text for an integer", "spec:\n  priority: 1${proxy.uid}", "text around a placeholder makes a string"},
		{"$if of another type", "spec:\n  containers:\n  - $if: ${pod.name}\n    name: a", "spec.containers[0].$if wants bool, expression gives string"},
		{"$if without placeholder", "spec:\n  containers:\n  - $if: true\n    name: a", "spec.containers[0].$if wants one placeholder"},
		{"placeholder in a key", "metadata:\n  labels:\n    \"${pod.name}\": x", "3:5 metadata.labels: a field name can't hold a placeholder"},
		{"twice", "spec: {}\nspec: {}", "spec is there twice"},
		{"anchor", "metadata:\n  labels: &a {x: y}\n  annotations: *a", "anchors and aliases aren't supported"},
		{"merge key", "metadata:\n  labels:\n    <<: {x: y}", "want a plain field name"},
		{"two documents", "spec: {}\n---\nspec: {}", "more than one document"},
		{"empty", "# nothing\n", "the template is empty"},
		{"no mapping", "[]", "the template is no mapping"},
		{"no YAML", "spec: {\n", "did not find"},
		{"no name", "spec:\n  containers:\n  - image: x", "has no name"},
		{"fails on some pod", "spec:\n  nodeName: ${pod.labels['app']}", "on a test pod (smallest)"},
		{"division by zero", "spec:\n  priority: ${1/0}", "division by zero"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := compileWith(row.text)
			var compile *inject.CompileError
			if !errors.As(err, &compile) {
				t.Fatalf("compiles: %v", err)
			}
			var got []string
			for _, fault := range compile.Templates["extras"] {
				got = append(got, fmt.Sprintf("%d:%d %s", fault.Line, fault.Column, fault.Message))
			}
			if !strings.Contains(strings.Join(got, "\n"), row.want) {
				t.Errorf("got %s\nwant %s", strings.Join(got, "\n"), row.want)
			}
			if !strings.Contains(err.Error(), `template "extras"`) {
				t.Errorf("the error doesn't name the template: %v", err)
			}
		})
	}
}

func TestInvalidInjectorDoesNotCompile(t *testing.T) {
	inj := injector("default", "default", func(s *v1alpha1.InjectorSpec) {
		s.DefaultTemplates = []string{"nope"}
		s.Capture.ExcludeOutboundPorts = "x"
	})
	_, err := inject.Compile(&inj, operator())
	if err == nil || !strings.Contains(err.Error(), `"nope"`) || !strings.Contains(err.Error(), `"x" is not a port`) {
		t.Errorf("got %v", err)
	}
}

func TestHashFollowsWhatRenders(t *testing.T) {
	hash := func(edit func(*v1alpha1.InjectorSpec)) string {
		inj := injector("default", "default", edit)
		p, err := inject.Compile(&inj, operator())
		if err != nil {
			t.Fatal(err)
		}
		return p.Hash()
	}
	same := hash(func(*v1alpha1.InjectorSpec) {})
	if len(same) != 12 || same != hash(func(s *v1alpha1.InjectorSpec) { s.NativeSidecar = v1alpha1.NativeAlways }) {
		t.Errorf("hash %q isn't 12 digits, or changes with the native mode", same)
	}
	template := func(text string) func(*v1alpha1.InjectorSpec) {
		return func(s *v1alpha1.InjectorSpec) { s.Templates = []v1alpha1.Template{{Name: "x", Inline: text}} }
	}
	if hash(template("spec: {}")) != hash(template("# ours\nspec:   {}\n")) {
		t.Error("a comment changes the hash: all pods would be stale")
	}
	for name, edit := range map[string]func(*v1alpha1.InjectorSpec){
		"log level": func(s *v1alpha1.InjectorSpec) { s.Proxy.LogLevel = "debug" },
		"capture":   func(s *v1alpha1.InjectorSpec) { s.Capture.ExcludeInboundPorts = "22" },
		"template":  template("spec: {}"),
	} {
		if hash(edit) == same {
			t.Errorf("%s: the hash is the same", name)
		}
	}
}

// FuzzTemplate: any text compiles or is refused with an error that says so; neither panics or hangs.
func FuzzTemplate(f *testing.F) {
	for _, seed := range []string{
		"spec: {}", "metadata:\n  labels: {x: \"${pod.name}\"}", "spec:\n  containers:\n  - $if: ${capture.enabled}\n    name: a\n    args: [\"${capture.args}\"]",
		"spec:\n  priority: ${proxy.uid}", "a: &b [*b]", "spec: {nodeName: \"$${\"}", "spec:\n  nodeName: ${{'a':'}'}['a']}",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 2048 {
			return
		}
		p, err := compileWith(text)
		if (p == nil) == (err == nil) {
			t.Fatalf("program %v, error %v", p, err)
		}
	})
}
