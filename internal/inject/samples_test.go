package inject_test

import (
	"os"
	"path/filepath"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject"
	"github.com/pillion-mesh/pillion/internal/inject/injecttest"
)

// TestSamplesCompile: what people copy works as it stands.
func TestSamplesCompile(t *testing.T) {
	files, err := filepath.Glob("../../config/samples/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	compiled := 0
	for _, file := range files {
		if filepath.Base(file) == "kustomization.yaml" {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var inj v1alpha1.Injector
		if err := yaml.UnmarshalStrict(text, &inj); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		set, err := injecttest.NewSet(operator(), inj)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		result := set.Inject(t.Context(), inject.Request{
			Injector: inj.Name, Entry: inject.EntryRevNamespace, Namespace: inject.Namespace{Name: "shop"}, Pod: []byte(injecttest.TypicalPod(1)),
		})
		if result.Outcome != inject.OutcomeInject {
			t.Errorf("%s: %s: %s", file, result.Outcome, result.Message())
		}
		compiled++
	}
	if compiled < 3 {
		t.Errorf("%d samples of 3 compile", compiled)
	}
}
