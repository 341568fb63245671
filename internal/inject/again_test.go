package inject_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject"
	"github.com/pillion-mesh/pillion/internal/inject/injecttest"
)

func injectTypical(set *inject.Set, pod string, native bool) inject.Result {
	return set.Inject(context.Background(), inject.Request{
		Entry: inject.EntryNamespace, Namespace: inject.Namespace{Name: "shop"}, Pod: []byte(pod), Native: native,
	})
}

// TestReinvocation: the API server defaults our containers, mounts the token and calls us again. We find nothing to do.
func TestReinvocation(t *testing.T) {
	set := setOf(t, injector("default", "default"))
	for _, native := range []bool{false, true} {
		first := injectTypical(set, injecttest.TypicalPod(2), native)
		var pod map[string]any
		if err := json.Unmarshal(first.Pod(), &pod); err != nil {
			t.Fatal(err)
		}
		spec := pod["spec"].(map[string]any)
		for _, list := range []string{"containers", "initContainers"} {
			for _, c := range spec[list].([]any) {
				defaulted(c.(map[string]any))
			}
		}
		for _, v := range spec["volumes"].([]any) {
			for _, kind := range []string{"configMap", "projected", "downwardAPI"} {
				if source, ok := v.(map[string]any)[kind].(map[string]any); ok {
					source["defaultMode"] = 420
				}
			}
		}
		again := injectTypical(set, mustJSON(pod), native)
		if again.Outcome != inject.OutcomeInject || again.Patch != nil {
			t.Errorf("native %v: %s: %s, patch %s", native, again.Outcome, again.Message(), again.Patch)
		}
	}
}

// defaulted does to a container what the API server does.
func defaulted(c map[string]any) {
	c["terminationMessagePath"], c["terminationMessagePolicy"] = "/dev/termination-log", "File"
	mounts, _ := c["volumeMounts"].([]any)
	c["volumeMounts"] = append(mounts, map[string]any{"name": "kube-api-access-x", "readOnly": true, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"})
	for _, probe := range []string{"startupProbe", "readinessProbe"} {
		if p, ok := c[probe].(map[string]any); ok {
			p["successThreshold"] = 1
		}
	}
	env, _ := c["env"].([]any)
	for _, e := range env {
		if from, ok := e.(map[string]any)["valueFrom"].(map[string]any); ok {
			if ref, ok := from["fieldRef"].(map[string]any); ok {
				ref["apiVersion"] = "v1"
			}
			if ref, ok := from["resourceFieldRef"].(map[string]any); ok {
				ref["divisor"] = "0"
			}
		}
	}
}

// TestAnotherWebhookAddedAContainer: it gets what it needs, and ours stay as they are.
func TestAnotherWebhookAddedAContainer(t *testing.T) {
	set := setOf(t, injector("default", "default"))
	for _, native := range []bool{false, true} {
		first := injectTypical(set, injecttest.TypicalPod(2), native)
		added := strings.Replace(string(first.Pod()), `"containers":[`, `"containers":[{"name":"late","image":"late:1"},`, 1)
		again := injectTypical(set, added, native)
		if again.Outcome != inject.OutcomeInject || strings.Contains(string(again.Patch), "istio-proxy") {
			t.Errorf("native %v: %s, patch %s", native, again.Outcome, again.Patch)
		}
	}
}

// TestNewInjectorReplacesTheOldSidecar: another hash means that nothing of the old one stays, but for the user's part.
func TestNewInjectorReplacesTheOldSidecar(t *testing.T) {
	old := setOf(t, injector("default", "default"))
	pod := strings.Replace(injecttest.TypicalPod(1), `"containers":[`, `"containers":[{"name":"istio-proxy","image":"auto","env":[{"name":"MINE","value":"1"}]},`, 1)
	first := injectTypical(old, pod, false)
	updated := setOf(t, injector("default", "default", func(s *v1alpha1.InjectorSpec) {
		s.Proxy.Image = "new:2"
		s.Proxy.LogLevel = "debug"
	}))
	again := injectTypical(updated, string(first.Pod()), true)
	fresh := injectTypical(updated, pod, true)
	checkPatch(t, first.Pod(), &again)
	if a, b := podOf(t, &again), podOf(t, &fresh); mustJSON(a.Spec) != mustJSON(b.Spec) {
		t.Errorf("injected again:\n%s\nfresh:\n%s", mustJSON(a.Spec), mustJSON(b.Spec))
	}
	if text := string(again.Pod()); strings.Count(text, `"MINE"`) != 1 || strings.Contains(text, "pillion-sidecar:dev") {
		t.Errorf("the old sidecar shows: %s", text)
	}
}

// FuzzInject: no pod makes us panic; a patch leads to the pod we say, and injecting that again changes nothing.
func FuzzInject(f *testing.F) {
	f.Add([]byte(injecttest.TypicalPod(1)), false)
	set := setOf(f, injector("default", "default"))
	injected := injectTypical(set, injecttest.TypicalPod(1), true)
	f.Add(injected.Pod(), true)
	f.Add([]byte(`{"metadata":{"annotations":{"sidecar.istio.io/status":"{\"containers\":[\"a\",1,null]}","pillion.dev/injector":"x","proxy.istio.io/overrides":"{\"containers\":[null,{}]}"}},"spec":{"containers":[{"name":"a"},{}]}}`), false)
	f.Add([]byte(`{"metadata":null,"spec":[1]}`), false)
	f.Add([]byte(`{"spec":{"containers":{"name":"istio-proxy"},"volumes":"x"}}`), true)
	f.Fuzz(func(t *testing.T, pod []byte, native bool) {
		result := injectTypical(set, string(pod), native)
		if result.Outcome != inject.OutcomeInject {
			return
		}
		if result.Patch == nil {
			return
		}
		again := injectTypical(set, string(result.Pod()), native)
		if again.Outcome == inject.OutcomeInject && again.Patch != nil {
			t.Fatalf("injecting %s\nagain gives %s", result.Pod(), again.Patch)
		}
	})
}
