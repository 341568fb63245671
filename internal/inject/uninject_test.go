package inject_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/pillion-mesh/pillion/internal/inject"
	"github.com/pillion-mesh/pillion/internal/inject/injecttest"
)

// plain is a JSON document without what says nothing: empty lists and objects, and null.
func plain(t testing.TB, document []byte) string {
	t.Helper()
	var v any
	if err := json.Unmarshal(document, &v); err != nil {
		t.Fatal(err)
	}
	return mustJSON(bare(v))
}

func bare(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, item := range v {
			if v[key] = bare(item); v[key] == nil {
				delete(v, key)
			}
		}
		if len(v) == 0 {
			return nil
		}
	case []any:
		for i := range v {
			v[i] = bare(v[i])
		}
		if len(v) == 0 {
			return nil
		}
	}
	return v
}

// uninjected is one document with our sidecars taken out.
func uninjected(t testing.TB, document []byte) inject.Document {
	t.Helper()
	docs, err := inject.Uninject(document)
	if err != nil || len(docs) != 1 {
		t.Fatalf("%d documents: %v in %s", len(docs), err, document)
	}
	return docs[0]
}

// TestUninjectGivesBackWhatCame, for every pod of the golden files.
func TestUninjectGivesBackWhatCame(t *testing.T) {
	files, err := filepath.Glob("testdata/inject/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, ".golden.yaml") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		r, edit := goldenCase(string(text))
		if r.Pod, err = yaml.YAMLToJSON(text); err != nil {
			t.Fatal(err)
		}
		set := setOf(t, injector("default", "default", edit))
		result := set.Inject(t.Context(), r)
		if result.Outcome != inject.OutcomeInject {
			continue
		}
		doc := uninjected(t, result.Pod())
		if got, want := plain(t, doc.JSON), plain(t, r.Pod); got != want || !doc.Changed {
			t.Errorf("%s: changed %v, gives\n%s\nwant\n%s", file, doc.Changed, got, want)
		}
	}
}

func TestUninjectEveryKind(t *testing.T) {
	set := setOf(t, injector("default", "default"))
	for kind, text := range kinds {
		docs, err := set.Workloads(t.Context(), []byte(text), shop)
		if err != nil {
			t.Fatal(err)
		}
		doc := uninjected(t, docs[0].JSON)
		want, err := yaml.YAMLToJSON([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if got := plain(t, doc.JSON); got != plain(t, want) || !doc.Changed || !doc.Workloads[0].Changed {
			t.Errorf("%s: %+v gives %s", kind, doc.Workloads, got)
		}
		if again := uninjected(t, doc.JSON); again.Changed || string(again.JSON) != string(doc.JSON) {
			t.Errorf("%s: what isn't injected doesn't pass through: %s", kind, again.JSON)
		}
	}
}

// TestUninjectRefusesEditedAnnotations says which, and leaves the pod as it is.
func TestUninjectRefusesEditedAnnotations(t *testing.T) {
	set := setOf(t, injector("default", "default"))
	injected := injectTypical(set, injecttest.TypicalPod(1), false)
	pod := string(injected.Pod())
	for _, key := range []string{"sidecar.istio.io/status", "pillion.dev/undo"} {
		start := strings.Index(pod, `"`+key+`":"`) + len(key) + 4
		edited := pod[:start] + "x" + pod[start:]
		doc := uninjected(t, []byte(edited))
		w := doc.Workloads[0]
		if w.Decision.Outcome != inject.OutcomeDeny || w.Decision.Reason() != inject.ReasonOverrideInvalid || !strings.Contains(w.Decision.Message(), key) || doc.Changed {
			t.Errorf("%s: changed %v, %s: %s", key, doc.Changed, w.Decision.Outcome, w.Decision.Message())
		}
	}
	if doc := uninjected(t, []byte(`{"apiVersion":"v1","kind":"Pod","spec":[]}`)); doc.Workloads[0].Decision.Reason() != inject.ReasonBodyInvalid {
		t.Errorf("a pod without form: %+v", doc.Workloads)
	}
}
