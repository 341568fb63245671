package inject_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/pillion-mesh/pillion/internal/inject"
	"github.com/pillion-mesh/pillion/internal/inject/injecttest"
)

// repeated is n parts of this format, with a number in it, between commas.
func repeated(format string, n int) string {
	parts := make([]string, n)
	for i := range parts {
		parts[i] = fmt.Sprintf(format, i)
	}
	return strings.Join(parts, ",")
}

// TestOversizedPods: one pod can't keep an operator busy. What no API server would take in the end is refused at once.
func TestOversizedPods(t *testing.T) {
	set := setOf(t, injector("default", "default"))
	proxy := func(field, format string, n int) string {
		return `{"spec":{"containers":[{"name":"app"},{"name":"istio-proxy","` + field + `":[` + repeated(format, n) + `]}]}}`
	}
	for name, row := range map[string]struct{ pod, want string }{
		"annotations":   {`{"metadata":{"annotations":{` + repeated(`"k%d":""`, 60000) + `}},"spec":{"containers":[{"name":"app"}]}}`, "metadata.annotations have 348890 bytes in 60000 entries; want at most 262144 bytes"},
		"labels":        {`{"metadata":{"labels":{` + repeated(`"k%d":""`, 60000) + `}},"spec":{"containers":[{"name":"app"}]}}`, "metadata.labels have"},
		"variables":     {proxy("env", `{"name":"E%d"}`, 5000), "spec.containers[1].env has 5000 items; want at most 4096"},
		"mounts":        {proxy("volumeMounts", `{"mountPath":"/%d"}`, 5000), "spec.containers[1].volumeMounts has 5000 items"},
		"more than all": {proxy("env", `{"name":"E%d"}`, 100000), "more values than there may be"},
		"containers":    {`{"spec":{"containers":[` + repeated(`{"name":"c%d"}`, 3000) + `]}}`, "spec.containers has 3000 items"},
	} {
		result := injectTypical(set, row.pod, false)
		if result.Reason() != inject.ReasonBodyInvalid || !strings.Contains(result.Message(), row.want) {
			t.Errorf("%s: %s: %s", name, result.Reason(), result.Message())
		}
	}
}

// TestSkippedPodsMayBeAnything: whoever wants no sidecar hears of faults from the API server, not from us.
func TestSkippedPodsMayBeAnything(t *testing.T) {
	set := setOf(t, injector("default", "default"))
	pod := `{"metadata":{"labels":{"sidecar.istio.io/inject":"false"}},"spec":{"containers":[{"name":"a"},{"name":"a"}],"volumes":{}}}`
	if result := injectTypical(set, pod, false); result.Outcome != inject.OutcomeSkip {
		t.Errorf("%s: %s", result.Outcome, result.Message())
	}
}

// TestSavedContainersAreChecked: what an annotation holds gets no further than what a pod holds.
func TestSavedContainersAreChecked(t *testing.T) {
	set := setOf(t, injector("default", "default"))
	for _, overrides := range []string{
		`{"containers":[` + repeated(`{"name":"c%d"}`, 3000) + `]}`, `{"volumes":[` + repeated(`{"name":"v%d"}`, 3000) + `]}`, `{"containers":[{}]}`,
	} {
		pod := mustJSON(map[string]any{
			"metadata": map[string]any{"annotations": map[string]string{"sidecar.istio.io/status": "{}", "pillion.dev/injector": "x", "proxy.istio.io/overrides": overrides}},
			"spec":     map[string]any{"containers": []any{map[string]any{"name": "app"}}},
		})
		if result := injectTypical(set, pod, false); result.Reason() != inject.ReasonOverrideInvalid {
			t.Errorf("%.40s: %s: %s", overrides, result.Reason(), result.Message())
		}
	}
}

// TestLargePodsPass: many variables are no fault, in the application or in the user's own istio-proxy.
func TestLargePodsPass(t *testing.T) {
	set := setOf(t, injector("default", "default"))
	own := strings.Replace(injecttest.TypicalPod(2000), `"containers":[`,
		`"containers":[{"name":"istio-proxy","image":"auto","env":[`+repeated(`{"name":"E%d","value":"x"}`, 2000)+`]},`, 1)
	result := injectTypical(set, own, false)
	if result.Outcome != inject.OutcomeInject {
		t.Fatalf("%s: %s", result.Outcome, result.Message())
	}
	checkPatch(t, []byte(own), &result)
	if again := injectTypical(set, string(result.Pod()), false); again.Outcome != inject.OutcomeInject || again.Patch != nil {
		t.Errorf("again: %s, patch of %d bytes", again.Outcome, len(again.Patch))
	}
}

// lateDeadline is a context whose deadline passes after so many looks at it.
type lateDeadline struct {
	context.Context
	looks int
}

func (c *lateDeadline) Err() error {
	if c.looks--; c.looks < 0 {
		return context.DeadlineExceeded
	}
	return nil
}

// TestDeadlineBetweenTheSteps: whenever the time runs out, rendering, merging and the patch that are still to come aren't
// made.
func TestDeadlineBetweenTheSteps(t *testing.T) {
	set := setOf(t, injector("default", "default"))
	r := inject.Request{Entry: inject.EntryNamespace, Namespace: inject.Namespace{Name: "shop"}, Pod: []byte(injecttest.TypicalPod(1))}
	said := map[string]bool{}
	for looks := 0; ; looks++ {
		result := set.Inject(&lateDeadline{context.Background(), looks}, r)
		if result.Outcome == inject.OutcomeInject {
			break
		}
		if result.Reason() != inject.ReasonDeadline || result.Patch != nil || result.Pod() != nil {
			t.Fatalf("after %d looks: %s: %s", looks, result.Reason(), result.Message())
		}
		step, _, _ := strings.Cut(result.Message(), ":")
		said[step] = true
	}
	for _, step := range []string{`rendering template "sidecar"`, "merging the pod with what was rendered", "making the patch"} {
		if !said[step] {
			t.Errorf("no look at the deadline before: %s", step)
		}
	}
}

// TestNamesTwice: containers of one name, in one list or in both, are refused with both places; none makes us panic.
func TestNamesTwice(t *testing.T) {
	set := setOf(t, injector("default", "default"))
	for spec, want := range map[string]string{
		`"containers":[{"name":"istio-proxy","image":"auto"},{"name":"a"},{"name":"istio-proxy","image":"b"}]`: `spec.containers has the name "istio-proxy" twice`,
		`"initContainers":[{"name":"istio-proxy"}],"containers":[{"name":"a"},{"name":"istio-proxy"}]`:         `spec.containers[1] and spec.initContainers[0] have the same name "istio-proxy"; remove one`,
		`"initContainers":[{"name":"a"}],"containers":[{"name":"a"}]`:                                          `spec.containers[0] and spec.initContainers[0] have the same name "a"`,
	} {
		for _, native := range []bool{false, true} {
			result := injectTypical(set, `{"spec":{`+spec+`}}`, native)
			if result.Reason() != inject.ReasonBodyInvalid || !strings.Contains(result.Message(), want) || result.Patch != nil {
				t.Errorf("%s: %s: %s", spec, result.Reason(), result.Message())
			}
		}
	}
}
