package pillion

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files")

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs from what is printed (go test -update writes it):\n%s", file, got)
	}
}

// file is a temporary one with this text.
func file(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file.yaml")
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

const blue = `apiVersion: pillion.dev/v1alpha1
kind: Injector
metadata: {name: blue}
spec:
  revision: blue
  tags: [prod]
  webhook: {mode: Field, reinvocationPolicy: Never, matchConditions: false, service: {name: edge, namespace: edge-system}}
  templates: [{name: mark, configMapRef: {name: texts, key: mark.yaml}}]
  defaultTemplates: [sidecar, mark]
`

const texts = `---
apiVersion: v1
kind: ConfigMap
metadata: {name: texts}
data: {mark.yaml: "metadata: {labels: {mark: here}}"}
`

const workloads = `# kept
apiVersion: v1
kind: Namespace
metadata: {name: quiet, labels: {istio-injection: disabled}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: pay, namespace: shop}
spec:
  template:
    metadata: {labels: {app: pay}}
    spec: {containers: [{name: app, image: app}]}
---
apiVersion: v1
kind: Pod
metadata: {name: net}
spec: {hostNetwork: true, containers: [{name: app, image: app}]}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: tick, namespace: quiet}
spec: {jobTemplate: {spec: {template: {spec: {containers: [{name: app, image: app}]}}}}}
`

func TestWebhooksRender(t *testing.T) {
	code, out, err := call("webhooks", "render", "-f", file(t, blue+texts))
	if code != 0 || err != "" {
		t.Fatalf("exit %d, stderr %q", code, err)
	}
	if strings.Contains(out, "caBundle") || strings.Contains(out, "creationTimestamp") {
		t.Errorf("a field that isn't the repository's:\n%s", out)
	}
	golden(t, "webhooks.yaml", out)
	if _, again, _ := call("webhooks", "render", "-f", file(t, texts+"---\n"+blue)); again != out {
		t.Errorf("the order of documents changes the output:\n%s", again)
	}
	managed := strings.Replace(blue, "mode: Field", "mode: Managed", 1)
	if code, _, err := call("webhooks", "render", "-f", file(t, managed+texts)); code != 0 || !strings.Contains(err, "note: the operator writes the configurations of Injector blue itself; set spec.webhook.mode: Field") {
		t.Errorf("mode Managed: exit %d, stderr %q", code, err)
	}
}

// TestWebhooksRenderNames: which objects are printed.
func TestWebhooksRenderNames(t *testing.T) {
	two := file(t, blue+texts+"---\n"+strings.NewReplacer("blue", "green", "[prod]", "[next]").Replace(blue))
	for _, row := range []struct {
		args []string
		want []string
	}{
		{nil, []string{"default"}},
		{[]string{"--revision", "canary"}, []string{"canary"}},
		{[]string{"-f", two}, []string{"blue", "prod", "green", "next"}},
		{[]string{"-f", two, "--revision", "green"}, []string{"green", "next"}},
	} {
		code, out, err := call(append([]string{"webhooks", "render"}, row.args...)...)
		var names []string
		for line := range strings.Lines(out) {
			if name, found := strings.CutPrefix(line, "  name: pillion-injector-"); found {
				names = append(names, strings.TrimSpace(name))
			}
		}
		if code != 0 || !slices.Equal(names, row.want) {
			t.Errorf("%v: exit %d, %s, names %v, want %v", row.args, code, err, names, row.want)
		}
	}
}

func TestInjectAndUninject(t *testing.T) {
	original, injectors := file(t, workloads), file(t, blue+texts)
	arguments := []string{"--injector", injectors, "--namespace-labels", "istio.io/rev=prod"}
	code, injected, report := call(append([]string{"inject", "-f", original}, arguments...)...)
	if code != 0 || strings.Count(injected, "name: istio-proxy\n") != 1 || !strings.Contains(injected, "mark: here") || !strings.HasPrefix(injected, "# kept\n") {
		t.Errorf("exit %d, %s:\n%s", code, report, injected)
	}
	golden(t, "inject.txt", report)
	if _, twice, _ := call(append([]string{"kube-inject", "-f", file(t, injected)}, arguments...)...); twice != injected {
		t.Errorf("injecting twice differs from once:\n%s", twice)
	}
	code, out, report := call("uninject", "-f", file(t, injected))
	if code != 0 {
		t.Errorf("uninject: exit %d, %s", code, report)
	}
	golden(t, "uninject.txt", report)
	if _, undone, _ := call("inject", "--undo", "-f", file(t, injected)); undone != out {
		t.Errorf("inject --undo and uninject differ:\n%s\n%s", undone, out)
	}
	_, never, _ := call("uninject", "-f", original, "-o", "json")
	if _, json, _ := call("uninject", "-f", file(t, injected), "-o", "json"); json != never {
		t.Errorf("what comes out isn't what went in:\n%s\nwant\n%s", json, never)
	}
	if code, out, _ := call("uninject", "-f", original); code != 0 || out != workloads {
		t.Errorf("without a sidecar the file must keep its bytes, exit %d:\n%s", code, out)
	}
}

// TestOfflineErrors: what failed, why, what to try, and the exit code.
func TestOfflineErrors(t *testing.T) {
	good := file(t, workloads)
	for _, row := range []struct {
		name string
		args []string
		code int
		want []string
	}{
		{"no file", []string{"inject"}, 64, []string{"pillion inject needs a file", "try: -f FILE"}},
		{"no file to undo", []string{"uninject"}, 64, []string{"pillion uninject needs a file", "try: -f FILE"}},
		{"output", []string{"inject", "-f", good, "-o", "xml"}, 64, []string{`-o "xml" is unknown; want yaml or json`}},
		{"near flag", []string{"webhooks", "render", "--revison", "x"}, 64, []string{"there is no flag --revison; did you mean --revision?"}},
		{"near command", []string{"webhooks", "rendr"}, 64, []string{"did you mean pillion webhooks render?"}},
		{"near command", []string{"uninjekt"}, 64, []string{"did you mean pillion uninject?"}},
		{"ConfigMap missing", []string{"inject", "-f", good, "--injector", file(t, blue)}, 65,
			[]string{`template "mark": ConfigMap pillion-system/texts doesn't exist`, "try: put the ConfigMap into the same file"}},
		{"key missing", []string{"inject", "-f", good, "--injector", file(t, blue+strings.Replace(texts, "mark.yaml:", "other.yaml:", 1))}, 65, []string{`has no key "mark.yaml"; it has other.yaml`}},
		{"revision missing", []string{"webhooks", "render", "-f", file(t, blue+texts), "--revision", "green"}, 65, []string{`revision "green": no Injector has it; there is blue`, "try: --revision blue"}},
		{"bad revision", []string{"webhooks", "render", "--revision", "A_B"}, 64, []string{`--revision "A_B"`}},
		{"claimed twice", []string{"webhooks", "render", "-f", file(t, blue+texts+"---\n"+strings.ReplaceAll(blue, "blue", "green"))}, 65, []string{`injector "green" claims the name "prod", which injector "blue" has`}},
		{"made twice", []string{"webhooks", "render", "-f", file(t, blue+texts+"---\n"+blue)}, 65, []string{`there are two Injectors "blue"`}},
		{"denied", []string{"inject", "-f", file(t, "apiVersion: v1\nkind: Pod\nmetadata: {name: p, annotations: {sidecar.istio.io/proxyCPU: many}}\nspec: {containers: [{name: a, image: a}]}\n")}, 1,
			[]string{`sidecar.istio.io/proxyCPU`, "1 of the workloads in it can't be done", "try: correct what is listed above"}},
		{"no YAML", []string{"uninject", "-f", file(t, "a: [")}, 65, []string{"reading "}},
		{"empty", []string{"uninject", "-f", file(t, "")}, 65, []string{"no YAML or JSON document"}},
	} {
		code, out, err := call(row.args...)
		for _, want := range row.want {
			if code != row.code || out != "" || !strings.Contains(err, want) {
				t.Errorf("%s: exit %d, stdout %q, stderr %q; want %d and %q", row.name, code, out, err, row.code, want)
			}
		}
	}
}
