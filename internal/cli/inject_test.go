package cli

import (
	"bytes"
	"strings"
	"testing"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/cli/table"
	"github.com/pillion-mesh/pillion/internal/inject/injecttest"
	"github.com/pillion-mesh/pillion/templates"
)

func injectText(t *testing.T, file string, o FileOptions) (out, report string, denied int) {
	t.Helper()
	set, err := injecttest.NewSet(injecttest.Operator(templates.FS), DefaultInjector())
	if err != nil {
		t.Fatal(err)
	}
	documents, err := InjectFile(t.Context(), set, []byte(file), o)
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	denied = WriteReport(&stderr, documents)
	if err := WriteDocuments(&stdout, documents, "yaml"); err != nil {
		t.Fatal(err)
	}
	return stdout.String(), stderr.String(), denied
}

const twoNamespaces = `# kept as it is
apiVersion: v1
kind: Namespace
metadata:
  name: quiet
  labels: {istio-injection: disabled}
---
apiVersion: v1
kind: Pod
metadata: {name: a, namespace: quiet}
spec: {containers: [{name: app, image: app}]}
---
apiVersion: v1
kind: Pod
metadata: {name: b, namespace: other}
spec: {containers: [{name: app, image: app}]}
---
apiVersion: v1
kind: Pod
metadata: {name: c}
spec: {containers: [{name: app, image: app}]}
`

// TestNamespacesOfTheFileItself: labels that the file gives a namespace hold; all others have those of the command line.
func TestNamespacesOfTheFileItself(t *testing.T) {
	out, report, _ := injectText(t, twoNamespaces, FileOptions{Namespace: "default", NamespaceLabels: map[string]string{"istio-injection": "enabled"}})
	for _, want := range []string{
		`✘ pod quiet/a: namespace "quiet" is labelled istio-injection=disabled`, "✔ pod other/b:", "✔ pod default/c:",
	} {
		if !strings.Contains(report, want) {
			t.Errorf("the report lacks %q:\n%s", want, report)
		}
	}
	if got := strings.Count(out, "name: istio-proxy\n"); got != 2 {
		t.Errorf("%d sidecars, want 2:\n%s", got, out)
	}
	if !strings.HasPrefix(out, "# kept as it is\n") {
		t.Errorf("a document nothing was injected into must keep its bytes:\n%.200s", out)
	}
}

func TestInjectingTheOutputAgainChangesNothing(t *testing.T) {
	o := FileOptions{Namespace: "default", NamespaceLabels: map[string]string{"istio-injection": "enabled"}, Native: true}
	once, _, _ := injectText(t, twoNamespaces, o)
	twice, _, _ := injectText(t, once, o)
	if once != twice {
		t.Errorf("injecting twice differs from once:\n%s\n--- twice:\n%s", once, twice)
	}
}

func TestDeniedWorkloadsAreReported(t *testing.T) {
	_, report, denied := injectText(t, `
apiVersion: v1
kind: Pod
metadata: {name: bad, annotations: {sidecar.istio.io/proxyCPU: many}}
spec: {containers: [{name: app, image: app}]}
`, FileOptions{Namespace: "default", NamespaceLabels: map[string]string{"istio-injection": "enabled"}})
	if denied != 1 || !strings.Contains(report, `annotation "sidecar.istio.io/proxyCPU" = "many"`) {
		t.Errorf("denied %d:\n%s", denied, report)
	}
}

func TestReadInjectors(t *testing.T) {
	good, err := ReadInjectors([]byte("apiVersion: v1\nkind: ConfigMap\n---\napiVersion: pillion.dev/v1alpha1\nkind: Injector\nmetadata: {name: x}\nspec: {revision: canary}\n"), "pillion-system")
	if err != nil || len(good) != 1 || good[0].Spec.Policy == "" {
		t.Errorf("%+v, %v; want one Injector with defaults", good, err)
	}
	for text, want := range map[string]string{
		"kind: ConfigMap": "no Injector in it",
		"apiVersion: pillion.dev/v1alpha1\nkind: Injector\nspec: {revison: x}":                                       "revison",
		"apiVersion: pillion.dev/v1alpha1\nkind: Injector\nspec: {capture: {excludeOutboundPorts: nonsense}}":        "nonsense",
		"apiVersion: pillion.dev/v1alpha1\nkind: Injector\nspec: {defaultTemplates: [nowhere]}\nmetadata: {name: x}": "nowhere",
		"a: [": "document 1",
	} {
		if got, err := ReadInjectors([]byte(text), "pillion-system"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %+v, %v; want an error with %q", text, got, err, want)
		}
	}
}

func TestOfflineSetRefusesTwoOwnersOfAName(t *testing.T) {
	a, b := DefaultInjector(), DefaultInjector()
	b.Name = "second"
	if _, err := OfflineSet([]v1alpha1.Injector{a, b}, injecttest.Operator(templates.FS)); err == nil || !strings.Contains(err.Error(), `claims the name "default"`) {
		t.Errorf("two default Injectors: %v; want the claim refused", err)
	}
}

func TestTableIsNeverCut(t *testing.T) {
	var out bytes.Buffer
	long := strings.Repeat("x", 300)
	if err := table.Write(&out, []string{"A", "B"}, [][]string{{long, "1"}, {"ü", "2"}}); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) != 3 || lines[1] != long+"     1" || !strings.HasSuffix(lines[2], strings.Repeat(" ", 304)+"2") {
		t.Errorf("table:\n%s", out.String())
	}
}
