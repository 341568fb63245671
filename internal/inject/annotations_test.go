package inject_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/pillion-mesh/pillion/internal/inject"
)

// injectAnnotated injects a small pod with these annotations.
func injectAnnotated(set *inject.Set, annotations map[string]string) inject.Result {
	pod := mustJSON(map[string]any{
		"metadata": map[string]any{"name": "p", "annotations": annotations},
		"spec": map[string]any{
			"containers": []any{map[string]any{"name": "app", "image": "a"}},
			"volumes":    []any{map[string]any{"name": "data", "emptyDir": map[string]any{}}},
		},
	})
	return set.Inject(context.Background(), inject.Request{
		Entry: inject.EntryNamespace, Namespace: inject.Namespace{Name: "shop"}, Pod: []byte(pod),
	})
}

func podOf(t testing.TB, result *inject.Result) *corev1.Pod {
	t.Helper()
	var pod corev1.Pod
	if err := json.Unmarshal(result.Pod(), &pod); err != nil {
		t.Fatalf("%s %s: %v", result.Outcome, result.Message(), err)
	}
	return &pod
}

// hostile are values that would change a pod if they were pasted into it.
var hostile = []string{"\";\n- evil: x", "${pod.name}", "\u0000", "{{ .Evil }}", "$(POD_NAME)", "\u2028", strings.Repeat("9", 200<<10)}

// TestHostileValues: whatever they are put into, they're refused, or taken as the text they are.
func TestHostileValues(t *testing.T) {
	set := setOf(t, injector("default", "default"))
	plain := injectAnnotated(set, nil)
	for _, a := range inject.Annotations() {
		for _, value := range hostile {
			if a.Label || a.Group == inject.GroupWritten {
				continue
			}
			result := injectAnnotated(set, map[string]string{a.Key: value})
			switch result.Outcome {
			case inject.OutcomeInject:
				sameStructure(t, a.Key, value, podOf(t, &result), podOf(t, &plain))
			case inject.OutcomeDeny:
				if len(result.Message()) > 1200 {
					t.Errorf("%s: the message has %d bytes", a.Key, len(result.Message()))
				}
			default:
				t.Errorf("%s = %.40q: %s: %s", a.Key, value, result.Outcome, result.Message())
			}
		}
	}
}

// TestNoUTF8: such a pod would come out changed where it is saved and read again.
func TestNoUTF8(t *testing.T) {
	result := setOf(t, injector("default", "default")).Inject(t.Context(), inject.Request{
		Entry: inject.EntryNamespace, Namespace: inject.Namespace{Name: "shop"},
		Pod: []byte("{\"metadata\":{\"annotations\":{\"sidecar.istio.io/logLevel\":\"\xff\"}},\"spec\":{\"containers\":[{\"name\":\"app\"}]}}"),
	})
	if result.Outcome != inject.OutcomeError || result.Message() != "reading the pod: the pod's text is no UTF-8" {
		t.Errorf("%s: %s", result.Outcome, result.Message())
	}
}

func TestAnnotationValues(t *testing.T) {
	set := setOf(t, injector("default", "default"))
	for _, row := range values {
		result := injectAnnotated(set, map[string]string{row.key: row.value})
		if row.wrong == "" {
			if result.Outcome != inject.OutcomeInject {
				t.Errorf("%s = %q: %s: %s", row.key, row.value, result.Outcome, result.Message())
			}
			continue
		}
		start := "annotation \"" + row.key + "\" = "
		if result.Outcome != inject.OutcomeDeny || !strings.HasPrefix(result.Message(), start) || !strings.Contains(result.Message(), row.wrong) {
			t.Errorf("%s = %q: %s: %s\nwant a denial with %s", row.key, row.value, result.Outcome, result.Message(), row.wrong)
		}
	}
}

// TestEveryAnnotationIsTested: every key users write has a good and a bad value above, but Multus', which is any.
func TestEveryAnnotationIsTested(t *testing.T) {
	for _, a := range inject.Annotations() {
		good, bad := 0, 0
		for _, row := range values {
			if row.key == a.Key && row.wrong == "" {
				good++
			} else if row.key == a.Key {
				bad++
			}
		}
		if !a.Label && a.Group != inject.GroupWritten && a.Group != inject.GroupNoEffect && a.Key != "sidecar.istio.io/inject" && a.Key != "k8s.v1.cni.cncf.io/networks" && (good == 0 || bad == 0) {
			t.Errorf("annotation %s has %d good and %d bad values in the test", a.Key, good, bad)
		}
		if a.Group != inject.GroupNoEffect && (a.Type == "" || a.Doc == "") {
			t.Errorf("annotation %s has no documentation", a.Key)
		}
	}
}

func TestAllFaultsAtOnce(t *testing.T) {
	result := injectAnnotated(setOf(t, injector("default", "default")), map[string]string{
		"traffic.sidecar.istio.io/excludeOutboundPorts": "x", "sidecar.istio.io/proxyCPU": "y", "proxy.istio.io/overrides": "[",
	})
	if len(result.Faults) != 3 {
		t.Errorf("%d faults, want 3: %s", len(result.Faults), result.Message())
	}
}

func TestEachResourceReplacesOnlyItsOwn(t *testing.T) {
	set := setOf(t, injector("default", "default"))
	for _, row := range []struct {
		annotations map[string]string
		want        string // requests cpu memory, limits cpu memory
		warns       string
	}{
		{nil, "50m 64Mi 2 512Mi", ""},
		{map[string]string{"sidecar.istio.io/proxyCPU": "100m"}, "100m 64Mi 2 512Mi", ""},
		{map[string]string{"sidecar.istio.io/proxyMemory": "96Mi"}, "50m 96Mi 2 512Mi", ""},
		{map[string]string{"sidecar.istio.io/proxyCPULimit": "0.5"}, "50m 64Mi 500m 512Mi", ""},
		{map[string]string{"sidecar.istio.io/proxyMemoryLimit": "0"}, "50m 64Mi 2 0", ""},
		{map[string]string{"sidecar.istio.io/proxyMemory": "1Gi"}, "50m 1Gi 2 1Gi", "above the limit 512Mi"},
		{map[string]string{"sidecar.istio.io/proxyMemory": "1Gi", "sidecar.istio.io/proxyMemoryLimit": "2Gi"}, "50m 1Gi 2 2Gi", ""},
	} {
		result := injectAnnotated(set, row.annotations)
		pod := podOf(t, &result)
		r := pod.Spec.Containers[1].Resources
		got := r.Requests.Cpu().String() + " " + r.Requests.Memory().String() + " " + r.Limits.Cpu().String() + " " + r.Limits.Memory().String()
		warnings := strings.Join(result.Warnings, "; ")
		if got != row.want || !strings.Contains(warnings, row.warns) || row.warns == "" && warnings != "" {
			t.Errorf("%v: %s, warnings %q; want %s", row.annotations, got, warnings, row.want)
		}
	}
	result := injectAnnotated(set, map[string]string{"sidecar.istio.io/proxyMemory": "1Gi", "sidecar.istio.io/proxyMemoryLimit": "512Mi"})
	if result.Outcome != inject.OutcomeDeny {
		t.Errorf("a request above the pod's own limit: %s", result.Outcome)
	}
}

func TestUnknownKeysWarn(t *testing.T) {
	result := injectAnnotated(setOf(t, injector("default", "default")), map[string]string{
		"sidecar.istio.io/proxyCpu": "1", "traffic.sidecar.istio.io/whatever": "1", "example.com/proxyCPU": "1",
	})
	got := strings.Join(result.Warnings, "\n")
	if len(result.Warnings) != 2 || !strings.Contains(got, `did you mean "sidecar.istio.io/proxyCPU"?`) || !strings.Contains(got, `"traffic.sidecar.istio.io/whatever" is unknown`) {
		t.Errorf("warnings:\n%s", got)
	}
}
