package inject_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject"
)

var update = flag.Bool("update", false, "write the golden files")

// goldenCase is what a golden input may say besides the pod, in comments of the form "# key: value" at its top.
func goldenCase(text string) (r inject.Request, edit func(*v1alpha1.InjectorSpec)) {
	r.Namespace = inject.Namespace{Name: "shop", Labels: map[string]string{"istio-injection": "enabled"}}
	r.Entry = inject.EntryNamespace
	edit = func(*v1alpha1.InjectorSpec) {}
	for line := range strings.Lines(text) {
		key, value, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "# "), ": ")
		if !strings.HasPrefix(line, "#") || !ok {
			continue
		}
		switch key {
		case "native":
			r.Native = value == "true"
		case "spec":
			edit = func(s *v1alpha1.InjectorSpec) {
				if err := yaml.UnmarshalStrict([]byte(value), s); err != nil {
					panic(err)
				}
			}
		}
	}
	return r, edit
}

func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/inject/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, ".golden.yaml") {
			continue
		}
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) { golden(t, file) })
	}
}

func golden(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	r, edit := goldenCase(string(text))
	if r.Pod, err = yaml.YAMLToJSON(text); err != nil {
		t.Fatal(err)
	}
	set := setOf(t, injector("default", "default", edit))
	result := set.Inject(context.Background(), r)
	got := describe(t, &result)
	wantFile := strings.TrimSuffix(file, ".yaml") + ".golden.yaml"
	if *update {
		if err := os.WriteFile(wantFile, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(wantFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs from what we made (go test -run TestGolden -update writes it):\n%s", wantFile, got)
	}
	if result.Outcome != inject.OutcomeInject {
		return
	}
	checkPatch(t, r.Pod, &result)
	r.Pod = result.Pod()
	if again := set.Inject(context.Background(), r); again.Outcome != inject.OutcomeInject || again.Patch != nil {
		t.Errorf("injecting our own output: %s, patch %s", again.Outcome, again.Patch)
	}
}

// digest is the name of what was rendered.
var digest = regexp.MustCompile(`(\\"rendered\\":\\")[0-9a-f]{12}`)

// describe is what a golden file holds: the decision in comments, then the pod. The hashes change with every template
// and are left out.
func describe(t *testing.T, result *inject.Result) []byte {
	t.Helper()
	var out bytes.Buffer
	out.WriteString("# " + string(result.Outcome) + ": " + string(result.Reason()) + ": " + result.Message() + "\n")
	for _, w := range result.Warnings {
		out.WriteString("# warning: " + w + "\n")
	}
	if pod := result.Pod(); pod != nil {
		pod = digest.ReplaceAll(bytes.ReplaceAll(pod, []byte(result.Hash), []byte("HASH")), []byte("${1}DIGEST"))
		text, err := yaml.JSONToYAML(pod)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(text)
	}
	return out.Bytes()
}

// checkPatch applies the patch with another implementation and compares.
func checkPatch(t testing.TB, before []byte, result *inject.Result) {
	t.Helper()
	if result.Patch == nil {
		return
	}
	after, err := applyPatch(before, result.Patch)
	if err != nil {
		t.Fatalf("applying %s: %v", result.Patch, err)
	}
	var got, want any
	if err := json.Unmarshal(after, &got); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(result.Pod(), &want); err != nil {
		t.Fatal(err)
	}
	if a, b := mustJSON(got), mustJSON(want); a != b {
		t.Errorf("the patch gives\n%s\nwant\n%s", a, b)
	}
}

func mustJSON(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(text)
}
