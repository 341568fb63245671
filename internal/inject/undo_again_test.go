package inject_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject"
)

// TestHandlerReplacedSince: another webhook gives a probe another handler after us, of any kind for any kind. It stays
// the only one, also in the passes after, and taking the sidecar out leaves it.
func TestHandlerReplacedSince(t *testing.T) {
	set := setOf(t, injector("default", "default"))
	handlers := []string{`{"httpGet":{"path":"/new","port":81}}`, `{"tcpSocket":{"port":81}}`, `{"grpc":{"port":81}}`, `{"exec":{"command":["x"]}}`}
	for _, was := range []string{`{"grpc":{"port":9}}`, `{"httpGet":{"port":9,"httpHeaders":[{"name":"a","value":"b"}]}}`, `{"tcpSocket":{"port":9}}`} {
		for _, is := range handlers {
			first := injectTypical(set, probedPod(`"readinessProbe":`+was), false)
			changed := changedBy(t, first.Pod(), func(p object) {
				var probe any
				_ = json.Unmarshal([]byte(is), &probe)
				ours(p, "app")["readinessProbe"] = probe
			})
			second := injectTypical(set, changed, false)
			third := injectTypical(set, string(second.Pod()), false)
			if third.Patch != nil {
				t.Errorf("%s, then %s: a third pass has something to change: %s", was, is, third.Patch)
			}
			if n := handlersOf(t, &second); n != 1 {
				t.Errorf("%s, then %s: the probe has %d handlers", was, is, n)
			}
			want := plain(t, []byte(probedPod(`"readinessProbe":`+is)))
			if got := plain(t, uninjected(t, second.Pod()).JSON); got != want {
				t.Errorf("%s, then %s: taken out it is\n%s, want\n%s", was, is, got, want)
			}
		}
	}
}

func handlersOf(t *testing.T, result *inject.Result) (n int) {
	t.Helper()
	var pod object
	if err := json.Unmarshal(result.Pod(), &pod); err != nil {
		t.Fatal(err, result.Message())
	}
	for _, kind := range []string{"exec", "httpGet", "tcpSocket", "grpc"} {
		if _, has := ours(pod, "app")["readinessProbe"].(object)[kind]; has {
			n++
		}
	}
	return n
}

// TestUndoOfGoneContainers: a pod made from a copy of another has that one's annotation. What it says of containers that
// aren't there isn't handed on.
func TestUndoOfGoneContainers(t *testing.T) {
	set := setOf(t, injector("default", "default"))
	first := injectTypical(set, probedPod(`"readinessProbe":{"grpc":{"port":9}}`), false)
	renamed := strings.Replace(string(first.Pod()), `"name":"app"`, `"name":"other"`, 1)
	second := injectTypical(set, renamed, false)
	var pod object
	if err := json.Unmarshal(second.Pod(), &pod); err != nil {
		t.Fatal(err, second.Message())
	}
	undo := pod["metadata"].(object)["annotations"].(object)[inject.AnnotationUndo].(string)
	if strings.Contains(undo, `"app":`) {
		t.Errorf("the annotation still has what became of a container that is gone: %s", undo)
	}
}

// TestForgedUndo: what an annotation of ours holds is bounded before anything is done with it.
func TestForgedUndo(t *testing.T) {
	set := setOf(t, injector("default", "default"))
	for name, c := range map[string]struct{ annotations, want string }{
		"saved containers":  {fmt.Sprintf(`"proxy.istio.io/overrides":%q`, `{"containers":[`+strings.Repeat(`{},`, 3000)+`{}]}`), "3001 items; want at most 2048"},
		"saved volumes":     {fmt.Sprintf(`"proxy.istio.io/overrides":%q`, `{"volumes":[`+strings.Repeat(`{},`, 3000)+`{}]}`), "3001 items; want at most 2048"},
		"too many values":   {fmt.Sprintf(`"pillion.dev/undo":%q`, `{"pod":[`+strings.Repeat(`1,`, 70_000)+`1]}`), "more values than there may be"},
		"not what we write": {`"pillion.dev/undo":"[]"`, "is no JSON object"},
	} {
		pod := `{"metadata":{"name":"a","annotations":{"sidecar.istio.io/status":"{}","pillion.dev/injector":"default",` + c.annotations + `}},"spec":{"containers":[{"name":"app"}]}}`
		result := injectTypical(set, pod, false)
		if result.Outcome != inject.OutcomeDeny || !strings.Contains(result.Message(), c.want) {
			t.Errorf("%s: %s, %q; want a denial that says %q", name, result.Outcome, result.Message(), c.want)
		}
	}
}

// TestUndoIsBounded: a pod of which too much changes isn't injected, rather than never given back.
func TestUndoIsBounded(t *testing.T) {
	set := setOf(t, injector("default", "default", withTemplate("spec: {securityContext: {sysctls: [{name: a, value: b}]}}")))
	pod := `{"metadata":{"name":"a"},"spec":{"securityContext":{"sysctls":[{"name":"` + strings.Repeat("x", 150_000) + `"}]},"containers":[{"name":"app"}]}}`
	result := injectTypical(set, pod, false)
	if result.Outcome != inject.OutcomeDeny || !strings.Contains(result.Message(), "pillion.dev/undo") {
		t.Errorf("%s, %q; want a denial that names the annotation", result.Outcome, result.Message())
	}
}

// withTemplate adds a template to the sidecar's.
func withTemplate(text string) func(*v1alpha1.InjectorSpec) {
	return func(s *v1alpha1.InjectorSpec) {
		s.Templates = []v1alpha1.Template{{Name: "more", Inline: text}}
		s.DefaultTemplates = []string{"sidecar", "more"}
	}
}
