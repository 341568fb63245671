package inject_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject"
)

// randomPod is a pod with anything in it that injection looks at, and fields nobody knows yet.
func randomPod(r *rand.Rand) string {
	some := func(chance int, text string) string {
		if r.IntN(chance) == 0 {
			return text
		}
		return ""
	}
	fields := func(parts ...string) string {
		return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), ",")
	}
	probe := func(name string) string {
		handler := []string{`"httpGet":{"path":"/ok","port":"web"}`, `"httpGet":{"path":"/\u006fk?a=<b>","port":8080,"host":"x","scheme":"HTTPS","httpHeaders":[{"name":"A","value":"b"}]}`,
			`"tcpSocket":{"port":8080}`, `"grpc":{"port":9000,"service":"s"}`, `"exec":{"command":["true"]}`}[r.IntN(5)]
		return some(2, fmt.Sprintf(`"%s":{%s,"periodSeconds":%d,"newField":1.50}`, name, handler, r.IntN(9)+1))
	}
	env := fmt.Sprintf(`"env":[%s]`, fields(some(2, `{"name":"A","value":"\u0041$(B)"}`), some(2, `{"name":"B","valueFrom":{"fieldRef":{"fieldPath":"metadata.name"}}}`), some(3, `{"name":"TRUST_DOMAIN","value":"t"}`)))
	container := func(name string) string {
		return "{" + fields(`"name":"`+name+`"`, `"image":"i:`+fmt.Sprint(r.IntN(3))+`"`, some(2, env), probe("livenessProbe"), probe("readinessProbe"), probe("startupProbe"),
			some(2, `"ports":[{"name":"web","containerPort":8080}]`), some(3, `"lifecycle":{"preStop":{"httpGet":{"path":"/bye","port":8080}}}`),
			some(3, `"future":{"big":123456789012345678901234567890,"e":1E+2,"list":[1,null,{"name":"x"}]}`), some(3, `"volumeMounts":[{"name":"v","mountPath":"/v"}]`),
			some(4, `"securityContext":{"runAsUser":2000}`)) + "}"
	}
	own := `{"name":"istio-proxy",` + fields(`"image":"auto"`, some(2, env), some(2, `"args":["agent","--x"]`), some(2, `"securityContext":{"runAsUser":2222,"runAsGroup":3333}`),
		some(2, `"resources":{"limits":{"memory":"1Gi"}}`), some(2, `"future":[{"a":1}]`), some(2, `"ports":[{"containerPort":15090,"protocol":"TCP","name":"mine"}]`)) + "}"
	inits := []string{some(2, container("setup")), some(2, container("migrate")), some(4, `{"name":"istio-init","image":"auto","securityContext":{"privileged":true}}`)}
	mains := []string{container("app"), some(2, container("helper")), some(2, container("third"))}
	if place := r.IntN(4); place == 0 {
		inits = append(inits, own)
	} else if place < 3 {
		mains = slices.Insert(mains, r.IntN(len(mains)+1), own)
	}
	metadata := fields(`"name":"p"`, some(2, `"labels":{`+fields(some(2, `"app":"a"`), some(2, `"version":"v"`), some(3, `"security.istio.io/tlsMode":"mine"`))+`}`),
		some(2, `"annotations":{`+fields(some(2, `"prometheus.io/scrape":"true"`), some(2, `"prometheus.io/port":"8080"`), some(3, `"prometheus.io/path":"/m"`),
			some(3, `"sidecar.istio.io/proxyCPU":"20m"`), some(3, `"kubectl.kubernetes.io/default-container":"helper"`), some(4, `"istio.io/rev":"mine"`), some(4, `"sidecar.istio.io/interceptionMode":"NONE"`),
			some(4, `"inject.istio.io/templates":"sidecar,more"`), some(4, `"pillion.dev/undo":"mine"`))+`}`), some(3, `"future":{"b":[1.0]}`))
	spec := fields(some(2, `"initContainers":[`+fields(inits...)+`]`), `"containers":[`+fields(mains...)+`]`,
		some(2, `"volumes":[`+fields(some(2, `{"name":"v","emptyDir":{}}`), some(3, `{"name":"istio-envoy","hostPath":{"path":"/x"},"future":1e2}`))+`]`),
		some(2, `"imagePullSecrets":[{"name":"mine"}`+some(2, `,{"name":"mesh-pull"}`)+`]`), some(2, `"terminationGracePeriodSeconds":60`), some(3, `"restartPolicy":"Never"`),
		some(3, `"nodeSelector":{"a":"b"}`), some(3, `"securityContext":{"fsGroup":1}`), some(3, `"resources":{"limits":{"cpu":"1","memory":"1Gi"},"requests":{"cpu":"500m"}}`),
		some(3, `"future":{"x":"\u00e9<>&"}`))
	return `{"kind":"Pod","apiVersion":"v1","metadata":{` + metadata + `},"spec":{` + spec + `},"status":{}}`
}

// everything is an Injector that uses what others leave alone.
func everything(s *v1alpha1.InjectorSpec) {
	s.ImagePullSecrets = []v1alpha1.PullSecret{{Name: "mesh-pull"}}
	s.Templates = []v1alpha1.Template{{Name: "more", Inline: `
metadata: {labels: {app: "${injector.name}"}, annotations: {more: "${pod.name}"}}
spec:
  terminationGracePeriodSeconds: ${pod.terminationGracePeriodSeconds + 5}
  nodeSelector: {mesh: "yes"}
  containers:
  - {name: helper, image: none, env: [{name: A, value: theirs}, {name: ADDED, value: "1"}], volumeMounts: [{name: istio-envoy, mountPath: /e}]}
  - {name: extra, image: "extra:1"}
`}}
	s.DefaultTemplates = []string{"sidecar", "more"}
}

// TestRandomPods: whatever a pod holds, the patch leads to what we say; injecting again has nothing to add; containers
// stand in their order; and taking it out gives back what came, to the letter.
func TestRandomPods(t *testing.T) {
	edits := map[string]func(*v1alpha1.InjectorSpec){
		"default":    func(*v1alpha1.InjectorSpec) {},
		"everything": everything,
		"hold":       func(s *v1alpha1.InjectorSpec) { s.Proxy.HoldApplication = true },
	}
	for name, edit := range edits {
		set := setOf(t, injector("default", "default", edit))
		injected := 0
		for seed := range uint64(250) {
			r := rand.New(rand.NewPCG(seed, 5))
			pod, native := randomPod(r), r.IntN(2) == 0
			result := injectTypical(set, pod, native)
			if result.Outcome != inject.OutcomeInject {
				continue
			}
			injected++
			checkPatch(t, []byte(pod), &result)
			checkOrder(t, pod, result.Pod(), native, name == "hold")
			if again := injectTypical(set, string(result.Pod()), native); again.Outcome != inject.OutcomeInject || again.Patch != nil {
				t.Errorf("again: %s: %s: %s", again.Outcome, again.Message(), again.Patch)
			}
			if got, want := letters(t, uninjected(t, result.Pod()).JSON), letters(t, []byte(pod)); got != want {
				t.Errorf("taken out again:\n%s\nwant\n%s", got, want)
			}
			if t.Failed() {
				t.Fatalf("%s, seed %d, native %v: %s", name, seed, native, pod)
			}
		}
		if injected < 180 {
			t.Errorf("%s: only %d of 250 pods are injected", name, injected)
		}
	}
}

// letters is a document with sorted fields and without empty lists and objects, its scalars as they are spelt.
func letters(t testing.TB, document json.RawMessage) string {
	t.Helper()
	switch document = bytes.TrimSpace(document); document[0] {
	case '{':
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(document, &fields); err != nil {
			t.Fatal(err)
		}
		var parts []string
		for key, value := range fields {
			if text := letters(t, value); text != "" {
				parts = append(parts, fmt.Sprintf("%q:%s", key, text))
			}
		}
		slices.Sort(parts)
		return around("{", parts, "}")
	case '[':
		var items []json.RawMessage
		if err := json.Unmarshal(document, &items); err != nil {
			t.Fatal(err)
		}
		var parts []string
		for _, item := range items {
			parts = append(parts, letters(t, item))
		}
		return around("[", parts, "]")
	}
	return string(document)
}

func around(open string, parts []string, end string) string {
	if len(parts) == 0 {
		return ""
	}
	return open + strings.Join(parts, ",") + end
}

// checkOrder: ours where they belong, the user's in the order they came.
func checkOrder(t testing.TB, before string, after []byte, native, hold bool) {
	t.Helper()
	var was, is object
	if json.Unmarshal([]byte(before), &was) != nil || json.Unmarshal(after, &is) != nil {
		t.Fatal("no JSON")
	}
	init, main := strings.Fields(namesIn(is, "initContainers")), strings.Fields(namesIn(is, "containers"))
	captures := strings.Contains(metadataOf(is, "annotations")["sidecar.istio.io/status"].(string), `"istio-init"`)
	place := func(name string, list []string, want int) {
		if at := slices.Index(list, name); at != want {
			t.Errorf("%s is at %d of %v, want %d", name, at, list, want)
		}
	}
	switch {
	case native && captures:
		place("istio-init", init, 0)
		place("istio-proxy", init, 1)
	case native:
		place("istio-proxy", init, 0)
	case hold:
		place("istio-proxy", main, 0)
	default:
		place("istio-proxy", main, len(main)-1)
	}
	if !native && captures {
		place("istio-init", init, len(init)-1)
	}
	for _, list := range []string{"initContainers", "containers"} {
		came := strings.Fields(namesIn(was, list))
		users := func(pod object) []string {
			return slices.DeleteFunc(strings.Fields(namesIn(pod, list)), func(name string) bool {
				return strings.HasPrefix(name, "istio-") || !slices.Contains(came, name)
			})
		}
		if got, want := users(is), users(was); !slices.Equal(got, want) {
			t.Errorf("%s of the user: %v, were %v", list, got, want)
		}
	}
}
