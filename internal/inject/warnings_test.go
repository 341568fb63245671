package inject_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/pillion-mesh/pillion/internal/inject"
)

func injectJSON(t testing.TB, set *inject.Set, pod string) inject.Result {
	t.Helper()
	return set.Inject(t.Context(), inject.Request{Entry: inject.EntryNamespace, Namespace: inject.Namespace{Name: "shop"}, Pod: []byte(pod)})
}

// TestDenialsWarnToo: who misspells one annotation and gets another wrong should learn both at once.
func TestDenialsWarnToo(t *testing.T) {
	request := inject.Request{Entry: inject.EntryNamespace, Namespace: inject.Namespace{Name: "shop"},
		Pod: []byte(`{"metadata":{"annotations":{"sidecar.istio.io/proxyCpu":"1","sidecar.istio.io/proxyMemory":"x"}},"spec":{"containers":[{"name":"app"}]}}`)}
	set := setOf(t, injector("default", "default"))
	for what, d := range map[string]inject.Decision{"inject": set.Inject(t.Context(), request).Decision, "decide": set.Decide(request)} {
		if d.Outcome != inject.OutcomeDeny || len(d.Warnings) != 1 || !strings.Contains(d.Warnings[0], `did you mean "sidecar.istio.io/proxyCPU"?`) {
			t.Errorf("%s: %s: %s, warnings %q", what, d.Outcome, d.Message(), d.Warnings)
		}
	}
}

// TestWarningsHaveABound: nobody reads thousands; the one about the namespace's limits is among those that stay.
func TestWarningsHaveABound(t *testing.T) {
	set := setOf(t, injector("default", "default"))
	var containers, annotations []string
	for i := range 100 {
		containers = append(containers, fmt.Sprintf(`{"name":"c%d","image":"auto","ports":[{"containerPort":15006}],"securityContext":{"runAsGroup":1337}}`, i))
		annotations = append(annotations, fmt.Sprintf(`"sidecar.istio.io/x%d":""`, i))
	}
	for _, annotation := range []string{`"a":"b"`, `"sidecar.istio.io/proxyCPU":"x"`} {
		limits := corev1.LimitRange{Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{
			Type: corev1.LimitTypeContainer, Max: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("256Mi")}}}}}
		result := set.Inject(t.Context(), inject.Request{Entry: inject.EntryNamespace,
			Namespace: inject.Namespace{Name: "shop", Allowance: inject.Allowance{Ranges: []corev1.LimitRange{limits}}},
			Pod:       []byte(`{"metadata":{"annotations":{` + annotation + "," + strings.Join(annotations, ",") + `}},"spec":{"containers":[` + strings.Join(containers, ",") + `]}}`)})
		if len(result.Warnings) != 16 {
			t.Errorf("%s: %d warnings: %q", result.Outcome, len(result.Warnings), result.Warnings)
		}
		if result.Outcome == inject.OutcomeInject && !strings.HasPrefix(result.Warnings[0], "set sidecar.istio.io/proxyMemoryLimit: ") {
			t.Errorf("the first warning is %q", result.Warnings[0])
		}
	}
}

// TestTooLargeToBeSaved: the API server would refuse such a pod for annotations nobody wrote.
func TestTooLargeToBeSaved(t *testing.T) {
	set := setOf(t, injector("default", "default"))
	pod := func(annotation, arg int) string {
		return `{"metadata":{"annotations":{"a":"` + strings.Repeat("x", annotation) + `"}},"spec":{"containers":[{"name":"app"},{"name":"istio-proxy","image":"auto","args":["` + strings.Repeat("y", arg) + `"]}]}}`
	}
	for _, row := range []struct {
		pod, field, says string
	}{
		{pod(0, 200000), "", ""},
		{pod(0, 270000), "metadata.annotations[proxy.istio.io/overrides]", "istio-proxy of the pod is too large to be saved in annotation proxy.istio.io/overrides: the pod's annotations would have "},
		{pod(262000, 0), "metadata.annotations", "the pod's annotations would have "},
		{pod(160000, 110000), "metadata.annotations", "and the API server takes 262144; remove some, since the injector writes its own too"},
	} {
		result := injectJSON(t, set, row.pod)
		if row.says == "" {
			if result.Outcome != inject.OutcomeInject || sizeOfAnnotations(t, &result) > 256<<10 {
				t.Errorf("%s: %s", result.Outcome, result.Message())
			}
			continue
		}
		if result.Outcome != inject.OutcomeDeny || result.Patch != nil || result.Reason() != inject.ReasonOverrideInvalid || !strings.Contains(result.Message(), row.says) || len(result.Faults) != 1 || result.Faults[0].Field != row.field {
			t.Errorf("%s (%s): %s, faults %.300q\nwant a denial: %s", result.Outcome, result.Reason(), result.Message(), result.Faults, row.says)
		}
	}
	quotes := strings.Replace(pod(200, 0), strings.Repeat("x", 200), strings.Repeat(`\u0061`, 250000/6*5), 1)
	if result := injectJSON(t, set, quotes); result.Outcome != inject.OutcomeInject {
		t.Errorf("annotations that are short but for how they're written: %s: %s", result.Outcome, result.Message())
	}
}

func sizeOfAnnotations(t testing.TB, result *inject.Result) (size int) {
	t.Helper()
	var pod struct {
		Metadata struct{ Annotations map[string]string }
	}
	if err := json.Unmarshal(result.Pod(), &pod); err != nil {
		t.Fatal(err)
	}
	for key, text := range pod.Metadata.Annotations {
		size += len(key) + len(text)
	}
	return size
}
