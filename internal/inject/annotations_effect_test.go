package inject_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject"
)

const effects = "testdata/annotations.golden"

// plainPod is what annotations are tried on.
const plainPod = `{"metadata":{"name":"p","annotations":{"prometheus.io/port":"8080","prometheus.io/scrape":"true"}},"spec":{
"resources":{"requests":{"cpu":"1"},"limits":{"memory":"1Gi"}},"volumes":[{"name":"certs","emptyDir":{}}],
"containers":[{"name":"app","image":"a","livenessProbe":{"httpGet":{"path":"/live","port":8080}}}]}}`

// TestEffects: what each annotation's example changes of a pod that is injected without it.
func TestEffects(t *testing.T) {
	set := setOf(t, injector("default", "default", func(s *v1alpha1.InjectorSpec) {
		s.Templates = []v1alpha1.Template{{Name: "zone-env", Inline: "spec: {containers: [{name: istio-proxy, env: [{name: ZONE, value: a}]}]}"}}
	}))
	plain := set.Inject(t.Context(), inject.Request{Entry: inject.EntryNamespace, Namespace: inject.Namespace{Name: "shop"}, Pod: []byte(plainPod)})
	var out bytes.Buffer
	out.WriteString("What each annotation's example changes: go test -run TestEffects -update writes this.\n")
	for _, a := range inject.Annotations() {
		if a.Label || a.Group == inject.GroupWritten {
			continue
		}
		pod := withExample(t, a)
		result := set.Inject(t.Context(), inject.Request{Entry: inject.EntryNamespace, Namespace: inject.Namespace{Name: "shop"}, Pod: pod})
		fmt.Fprintf(&out, "\n%s = %s\n", a.Key, cmp.Or(a.Example, exampleOf[a.Key]))
		if result.Outcome != inject.OutcomeInject {
			t.Errorf("the example of %s: %s: %s", a.Key, result.Outcome, result.Message())
			continue
		}
		for _, w := range result.Warnings {
			fmt.Fprintf(&out, "  warning: %s\n", w)
		}
		for _, line := range difference(t, plain.Pod(), result.Pod(), a.Key) {
			fmt.Fprintf(&out, "  %s\n", line)
		}
	}
	if *update {
		if err := os.WriteFile(effects, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(effects)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, out.Bytes()) {
		t.Errorf("%s differs from what the examples do; go test -run TestEffects -update writes it:\n%s", effects, out.Bytes())
	}
}

// withExample is the plain pod with one annotation. A volume of the annotation's own mustn't be there already.
func withExample(t *testing.T, a inject.Annotation) []byte {
	t.Helper()
	var pod map[string]any
	if err := json.Unmarshal([]byte(plainPod), &pod); err != nil {
		t.Fatal(err)
	}
	pod["metadata"].(map[string]any)["annotations"].(map[string]any)[a.Key] = cmp.Or(a.Example, exampleOf[a.Key])
	if a.Key == "sidecar.istio.io/userVolume" {
		delete(pod["spec"].(map[string]any), "volumes")
	}
	return []byte(mustJSON(pod))
}

// exampleOf are values where the table has no example.
var exampleOf = map[string]string{"sidecar.istio.io/inject": "true", "k8s.v1.cni.cncf.io/networks": "net1"}

// difference of two pods: fields that are gone, there or other than before. The annotation itself and what the injector
// notes for itself don't count.
func difference(t *testing.T, before, after []byte, key string) (lines []string) {
	t.Helper()
	was, is := flat(t, before), flat(t, after)
	for _, path := range slices.Sorted(maps.Keys(was)) {
		if !is[path] {
			lines = append(lines, "- "+path)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(is)) {
		if !was[path] {
			lines = append(lines, "+ "+path)
		}
	}
	return slices.DeleteFunc(lines, func(line string) bool {
		for _, own := range []string{key, "pillion.dev/undo", "sidecar.istio.io/status", "pillion.dev/prometheus"} {
			if strings.Contains(line, "metadata.annotations."+own+": ") {
				return true
			}
		}
		return false
	})
}

// flat is every scalar of a document with its path. Items of lists go by their names, flags with their values. The proxy
// is the proxy wherever it stands.
func flat(t *testing.T, document []byte) map[string]bool {
	t.Helper()
	var doc any
	if err := json.Unmarshal(document, &doc); err != nil {
		t.Fatal(err)
	}
	lines := map[string]bool{}
	flatten(lines, "", doc)
	moved := map[string]bool{}
	for line := range lines {
		moved[strings.Replace(line, "initContainers[istio-proxy]", "containers[istio-proxy]", 1)] = true
	}
	return moved
}

func flatten(lines map[string]bool, path string, value any) {
	switch value := value.(type) {
	case map[string]any:
		for k, v := range value {
			flatten(lines, strings.TrimPrefix(path+"."+k, "."), v)
		}
	case []any:
		for i := 0; i < len(value); i++ {
			if item, ok := value[i].(map[string]any); ok {
				flatten(lines, fmt.Sprintf("%s[%v]", path, cmp.Or(item["mountPath"], item["name"], item["path"], any(i))), item)
				continue
			}
			text := fmt.Sprint(value[i])
			if strings.HasPrefix(text, "-") && !strings.Contains(text, "=") && i+1 < len(value) {
				i++
				text += " " + fmt.Sprint(value[i])
			}
			lines[path+"[]: "+text] = true
		}
	default:
		lines[fmt.Sprintf("%s: %v", path, value)] = true
	}
}
