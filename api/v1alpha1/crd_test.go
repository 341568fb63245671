package v1alpha1_test

import (
	"os"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// TestEveryFieldIsExplained: `kubectl explain` is the reference most people read.
func TestEveryFieldIsExplained(t *testing.T) {
	text, err := os.ReadFile("../../config/crd/pillion.dev_injectors.yaml")
	if err != nil {
		t.Fatalf("reading the generated CRD: %v", err)
	}
	var crd map[string]any
	if err := yaml.Unmarshal(text, &crd); err != nil {
		t.Fatal(err)
	}
	version := crd["spec"].(map[string]any)["versions"].([]any)[0].(map[string]any)
	seen := 0
	explained(t, "", version["schema"].(map[string]any)["openAPIV3Schema"].(map[string]any), &seen)
	if seen < 100 {
		t.Errorf("only %d fields seen: the walk misses some", seen)
	}
	for _, c := range version["additionalPrinterColumns"].([]any) {
		column := c.(map[string]any)
		if name := column["name"].(string); name == "" || !strings.HasPrefix(column["jsonPath"].(string), ".") {
			t.Errorf("printer column %v", column)
		}
	}
}

func explained(t *testing.T, path string, schema map[string]any, seen *int) {
	t.Helper()
	properties, _ := schema["properties"].(map[string]any)
	for name, p := range properties {
		property := p.(map[string]any)
		at := path + "." + name
		*seen++
		if text, _ := property["description"].(string); strings.TrimSpace(text) == "" && at != ".metadata" { // the API server explains that one
			t.Errorf("%s has no description: write a comment at the field", at)
		}
		explained(t, at, property, seen)
	}
	for _, inner := range []string{"items", "additionalProperties"} {
		if of, ok := schema[inner].(map[string]any); ok {
			explained(t, path+"[]", of, seen)
		}
	}
}
