package inject_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject"
	"github.com/pillion-mesh/pillion/internal/inject/injecttest"
)

// intoEverything is a template that puts what pods, namespaces and owners say wherever a template can put text.
const intoEverything = `
metadata:
  labels: {l: "${pod.labels[?'text'].orValue('')}"}
  annotations: {a: "${pod.annotations[?'text'].orValue('')}", b: "x${pod.annotations[?'text'].orValue('')}y"}
spec:
  hostname: "${namespace.labels[?'text'].orValue('')}"
  containers:
  - name: istio-proxy
    args: ["--first=${pod.annotations[?'text'].orValue('')}", "${pod.labels[?'text'].orValue('')}", "${owner.name}"]
    command: ["${pod.annotations[?'text'].orValue('')}"]
    env:
    - {name: FROM_POD, value: "${pod.annotations[?'text'].orValue('')}"}
    - {name: FROM_NAMESPACE, value: "${namespace.annotations[?'text'].orValue('')}${namespace.name}"}
    - {name: FROM_NAME, value: "${pod.name}-${pod.serviceAccountName}"}
    - {name: FROM_CONTAINERS, value: "${pod.containers.map(c, c.image).join(',')}"}
  volumes:
  - {name: hostile, hostPath: {path: "${pod.annotations[?'text'].orValue('')}"}}
`

// withText is a pod that says this text wherever a user can write what he likes, and what its namespace is.
func withText(text string) inject.Request {
	pod := mustJSON(object{
		"kind": "Pod", "apiVersion": "v1",
		"metadata": object{"name": text, "labels": object{"text": text, "app": text}, "annotations": object{"text": text},
			"ownerReferences": []any{object{"apiVersion": "v1", "kind": "X", "name": text, "uid": text, "controller": true}}},
		"spec": object{"serviceAccountName": text, "nodeName": text,
			"containers": []any{object{"name": "app", "image": text, "command": []any{text}, "env": []any{object{"name": "E", "value": text}},
				"livenessProbe": object{"httpGet": object{"path": text, "port": 80}}}}},
	})
	ns := inject.Namespace{Name: "shop", Labels: map[string]string{"text": text}, Annotations: map[string]string{"text": text}}
	return inject.Request{Entry: inject.EntryNamespace, Namespace: ns, Pod: []byte(pod), Env: []inject.EnvVar{{Name: "ISTIO_META_NET", Value: text}}}
}

// structure is a document with each scalar as its kind: fields, the length of lists, and the names of variables stay.
func structure(v any, key string) any {
	switch v := v.(type) {
	case object:
		for field, value := range v {
			if field != "name" || key != "env" {
				v[field] = structure(value, field)
			}
		}
	case []any:
		for i := range v {
			v[i] = structure(v[i], key)
		}
	default:
		return fmt.Sprintf("%T", v)
	}
	return v
}

// FuzzEscape: no text gives a pod another structure than harmless text does. There is no way out of a placeholder.
func FuzzEscape(f *testing.F) {
	for _, seed := range []string{"x", "", "a b", `"}],"x":[{`, "${pod.name}", "$${", "\n- evil\n", "--flag=1", "{{ .Values }}", "$(HOME)", "\u2028\x00", "a,b", "\\", "'", "~1~0/", "null", "true", "1"} {
		f.Add(seed)
	}
	set := setOf(f, injector("default", "default", func(s *v1alpha1.InjectorSpec) {
		s.Templates = []v1alpha1.Template{{Name: "everything", Inline: intoEverything}}
		s.DefaultTemplates = []string{"sidecar", "everything"}
	}))
	shapeOf := func(t testing.TB, text string) (string, inject.Result) {
		result := set.Inject(t.Context(), withText(text))
		if result.Outcome != inject.OutcomeInject {
			return "", result
		}
		var pod any
		if err := json.Unmarshal(result.Pod(), &pod); err != nil {
			t.Fatalf("%q makes a pod that is no JSON: %v", text, err)
		}
		checkPatch(t, withText(text).Pod, &result)
		return mustJSON(structure(pod, "")), result
	}
	want, _ := shapeOf(f, "harmless")
	empty, _ := shapeOf(f, "") // some fields aren't written without text
	f.Fuzz(func(t *testing.T, text string) {
		if text = strings.ToValidUTF8(text, "?"); len(text) > 4096 {
			return
		}
		got, result := shapeOf(t, text)
		if got != want && got != empty && result.Outcome == inject.OutcomeInject && strings.Trim(text, "-_.") != "" {
			t.Errorf("%q makes\n%s\nwant\n%s", text, got, want)
		}
		if result.Outcome != inject.OutcomeInject {
			t.Errorf("%q: %s: %s", text, result.Outcome, result.Message())
		}
	})
}

// FuzzAnnotationEscape: whatever an annotation of ours says, it is refused, or adds no flag and no variable that others
// don't have.
func FuzzAnnotationEscape(f *testing.F) {
	set := setOf(f, injector("default", "default"))
	hostile := []string{"80\n-x", "80 --evil", "80,--evil", `80","--evil`, "${pod.name}", "10.0.0.0/8;rm", "-1", "$(HOME)", "debug\x00", "80\t-q\t25", "*,--evil", "true --evil", "eth0,--evil", "a:b:c", "REDIRECT -u 0"}
	keys := map[string]bool{}
	for _, a := range inject.Annotations() {
		if a.Key != "proxy.istio.io/config" { // names variables of its own
			keys[a.Key] = true
		}
	}
	sorted := slices.Sorted(maps.Keys(keys))
	for i := range sorted {
		for _, text := range hostile {
			f.Add(i, text)
		}
	}
	f.Fuzz(func(t *testing.T, key int, text string) {
		if text = strings.ToValidUTF8(text, "?"); key < 0 || key >= len(sorted) {
			return
		}
		pod := strings.Replace(injecttest.TypicalPod(1), `"annotations":{`, `"annotations":{`+mustJSON(sorted[key])+":"+mustJSON(text)+",", 1)
		result := injectTypical(set, pod, false)
		if result.Outcome != inject.OutcomeInject {
			return
		}
		var o object
		if err := json.Unmarshal(result.Pod(), &o); err != nil {
			t.Fatal(err)
		}
		args, _ := ours(o, "istio-init")["args"].([]any)
		seen := map[string]bool{}
		for i := 1; i < len(args); i += 2 { // flag and value take turns; pillion-capture reads them so, even a value "-1"
			flag := args[i].(string)
			if !flagForm.MatchString(flag) || seen[flag] || i+1 == len(args) {
				t.Errorf("%s = %q: arguments %q", sorted[key], text, args)
			}
			seen[flag] = true
		}
		for _, arg := range ours(o, "istio-proxy")["args"].([]any)[1:] {
			if name, _, _ := strings.Cut(arg.(string), "="); !slices.Contains(proxyFlags, name) {
				t.Errorf("%s = %q: argument %q of istio-proxy", sorted[key], text, arg)
			}
		}
	})
}

var flagForm = regexp.MustCompile(`^(-[a-zA-Z]|--[a-z]+(-[a-z]+)*)$`)

// proxyFlags are all the built-in template gives to the agent.
var proxyFlags = []string{"--domain", "--proxyLogLevel", "--log_output_level", "--proxyComponentLogLevel", "--concurrency"}
