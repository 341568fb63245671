package inject_test

import (
	"encoding/json"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject"
	"github.com/pillion-mesh/pillion/internal/inject/injecttest"
)

// object is JSON for other webhooks to change.
type object = map[string]any

func specOf(pod object) object { return pod["spec"].(object) }

// containersIn are a list's containers.
func containersIn(pod object, list string) []any {
	containers, _ := specOf(pod)[list].([]any)
	return containers
}

// ours is a container of ours, wherever it is.
func ours(pod object, name string) object {
	for _, list := range []string{"initContainers", "containers"} {
		for _, c := range containersIn(pod, list) {
			if c.(object)["name"] == name {
				return c.(object)
			}
		}
	}
	return object{}
}

func metadataOf(pod object, field string) object {
	return pod["metadata"].(object)[field].(object)
}

func namesIn(pod object, list string) string {
	var names []string
	for _, c := range containersIn(pod, list) {
		names = append(names, c.(object)["name"].(string))
	}
	return strings.Join(names, " ")
}

// harmless are things other webhooks, and the API server between them, do to a pod after us. None needs an answer.
var harmless = map[string]func(pod object){
	"nothing": func(object) {},
	"a variable in our container": func(pod object) {
		c := ours(pod, "istio-proxy")
		c["env"] = append([]any{object{"name": "THEIRS", "value": "1"}}, c["env"].([]any)...)
	},
	"another value of our variable": func(pod object) {
		for _, e := range ours(pod, "istio-proxy")["env"].([]any) {
			if e.(object)["name"] == "TRUST_DOMAIN" {
				e.(object)["value"] = "theirs.example"
			}
		}
	},
	"no seccomp profile": func(pod object) {
		delete(ours(pod, "istio-proxy")["securityContext"].(object), "seccompProfile")
		delete(ours(pod, "istio-init")["securityContext"].(object), "seccompProfile")
	},
	"another image": func(pod object) { ours(pod, "istio-proxy")["image"] = "mirror.example/pillion-sidecar:dev" },
	"more memory":   func(pod object) { ours(pod, "istio-proxy")["resources"] = object{"limits": object{"memory": "1Gi"}} },
	"a mount everywhere": func(pod object) {
		for _, list := range []string{"initContainers", "containers"} {
			for _, c := range containersIn(pod, list) {
				mounts, _ := c.(object)["volumeMounts"].([]any)
				c.(object)["volumeMounts"] = append([]any{object{"name": "theirs", "mountPath": "/theirs"}}, mounts...)
			}
		}
		specOf(pod)["volumes"] = append([]any{object{"name": "theirs", "emptyDir": object{}}}, specOf(pod)["volumes"].([]any)...)
	},
	"volumes and variables in another order": func(pod object) {
		slices.Reverse(specOf(pod)["volumes"].([]any))
		slices.Reverse(ours(pod, "istio-proxy")["env"].([]any))
		slices.Reverse(ours(pod, "istio-proxy")["volumeMounts"].([]any))
		if secrets, ok := specOf(pod)["imagePullSecrets"].([]any); ok {
			slices.Reverse(secrets)
		}
	},
	"labels and annotations": func(pod object) {
		metadataOf(pod, "annotations")["theirs.example/seen"] = "yes"
		metadataOf(pod, "labels")["theirs"] = "yes"
	},
	"other values of what we set if absent": func(pod object) {
		metadataOf(pod, "annotations")["kubectl.kubernetes.io/default-container"] = "theirs"
		metadataOf(pod, "labels")["security.istio.io/tlsMode"] = "disabled"
	},
	"a node selector and tolerations": func(pod object) {
		specOf(pod)["nodeSelector"] = object{"theirs": "yes"}
		specOf(pod)["tolerations"] = append([]any{object{"key": "theirs", "operator": "Exists"}}, specOf(pod)["tolerations"].([]any)...)
	},
	"the API server's defaults": func(pod object) {
		for _, list := range []string{"containers", "initContainers"} {
			for _, c := range containersIn(pod, list) {
				defaulted(c.(object))
			}
		}
	},
	"another image of the application": func(pod object) {
		for _, c := range containersIn(pod, "containers") {
			if c.(object)["name"] == "reviews" {
				c.(object)["image"] = "mirror.example/reviews:1"
			}
		}
	},
	"a field nobody knows yet": func(pod object) {
		ours(pod, "istio-proxy")["future"] = object{"a": []any{1, nil}}
		specOf(pod)["future"] = []any{1}
	},
}

// shapes are the ways of injecting that differ in where things go.
var shapes = []struct {
	name   string
	native bool
	edit   func(*v1alpha1.InjectorSpec)
	pod    string
}{
	{"classic", false, func(*v1alpha1.InjectorSpec) {}, injecttest.TypicalPod(3)},
	{"native", true, func(*v1alpha1.InjectorSpec) {}, injecttest.TypicalPod(3)},
	{"hold", false, func(s *v1alpha1.InjectorSpec) { s.Proxy.HoldApplication = true }, injecttest.TypicalPod(3)},
	{"own istio-proxy", false, func(*v1alpha1.InjectorSpec) {}, strings.Replace(injecttest.TypicalPod(3), `"containers":[`,
		`"initContainers":[{"name":"setup","image":"s"}],"containers":[{"name":"istio-proxy","image":"auto","env":[{"name":"MINE","value":"1"}]},`, 1)},
	{"spec and secrets", true, func(s *v1alpha1.InjectorSpec) {
		s.ImagePullSecrets = []v1alpha1.PullSecret{{Name: "one"}, {Name: "two"}}
		s.Templates = []v1alpha1.Template{{Name: "more", Inline: "spec:\n  terminationGracePeriodSeconds: ${pod.terminationGracePeriodSeconds + 5}\n" +
			"  tolerations: [{key: mesh, operator: Exists}]\n  containers:\n  - {name: reviews, env: [{name: ADDED, value: \"${pod.name}\"}]}\n"}}
		s.DefaultTemplates = []string{"sidecar", "more"}
	}, injecttest.TypicalPod(3)},
}

// changedBy is a pod after another webhook.
func changedBy(t testing.TB, pod []byte, change func(object)) string {
	t.Helper()
	var o object
	if err := json.Unmarshal(pod, &o); err != nil {
		t.Fatal(err)
	}
	change(o)
	return mustJSON(o)
}

// TestOtherWebhooksChangesStay: called again, we have nothing to say to any of them.
func TestOtherWebhooksChangesStay(t *testing.T) {
	for _, shape := range shapes {
		set := setOf(t, injector("default", "default", shape.edit))
		first := injectTypical(set, shape.pod, shape.native)
		for name, change := range harmless {
			again := injectTypical(set, changedBy(t, first.Pod(), change), shape.native)
			if again.Outcome != inject.OutcomeInject || again.Patch != nil {
				t.Errorf("%s, %s: %s: %s\npatch %s", shape.name, name, again.Outcome, again.Message(), again.Patch)
			}
		}
	}
}

// TestTemplateFollowsAnotherWebhook: what a template derives from the pod follows a change of it, from the pod's own
// value and not from ours.
func TestTemplateFollowsAnotherWebhook(t *testing.T) {
	shape := shapes[len(shapes)-1]
	set := setOf(t, injector("default", "default", shape.edit))
	first := injectTypical(set, shape.pod, true)
	if got := podOf(t, &first).Spec.TerminationGracePeriodSeconds; *got != 35 {
		t.Fatalf("grace period %d", *got)
	}
	again := injectTypical(set, changedBy(t, first.Pod(), func(pod object) { specOf(pod)["terminationGracePeriodSeconds"] = 90 }), true)
	if got := podOf(t, &again).Spec.TerminationGracePeriodSeconds; *got != 95 {
		t.Errorf("grace period %d, want 90 and 5", *got)
	}
	if proxy := podOf(t, &again).Spec.InitContainers[1]; variable(&proxy, "PILLION_TERMINATION_GRACE") != "90s" {
		t.Errorf("the agent is told %s", variable(&proxy, "PILLION_TERMINATION_GRACE"))
	}
}

// TestLateContainers: containers that come after us are put in order, and nothing else is touched.
func TestLateContainers(t *testing.T) {
	late := func(list string, first bool) func(object) {
		return func(pod object) {
			containers := containersIn(pod, list)
			c := object{"name": "late", "image": "late:1", "future": object{"a": 1}}
			if first {
				specOf(pod)[list] = append([]any{c}, containers...)
			} else {
				specOf(pod)[list] = append(slices.Clone(containers), c)
			}
		}
	}
	for _, row := range []struct {
		shape      int
		list       string
		first      bool
		init, main string
	}{
		{0, "containers", true, "istio-init", "late reviews istio-proxy"},
		{0, "containers", false, "istio-init", "reviews late istio-proxy"},
		{0, "initContainers", true, "late istio-init", "reviews istio-proxy"},
		{0, "initContainers", false, "late istio-init", "reviews istio-proxy"},
		{1, "containers", true, "istio-init istio-proxy", "late reviews"},
		{1, "containers", false, "istio-init istio-proxy", "reviews late"},
		{1, "initContainers", true, "istio-init istio-proxy late", "reviews"},
		{1, "initContainers", false, "istio-init istio-proxy late", "reviews"},
		{2, "containers", true, "istio-init", "istio-proxy late reviews"},
		{2, "containers", false, "istio-init", "istio-proxy reviews late"},
		{3, "initContainers", false, "setup late istio-init", "reviews istio-proxy"},
		{4, "initContainers", true, "istio-init istio-proxy late", "reviews"},
	} {
		shape := shapes[row.shape]
		set := setOf(t, injector("default", "default", shape.edit))
		first := injectTypical(set, shape.pod, shape.native)
		changed := changedBy(t, first.Pod(), late(row.list, row.first))
		again := injectTypical(set, changed, shape.native)
		checkPatch(t, []byte(changed), &again)
		var o object
		if err := json.Unmarshal(again.Pod(), &o); err != nil {
			t.Fatal(err)
		}
		if init, main := namesIn(o, "initContainers"), namesIn(o, "containers"); init != row.init || main != row.main {
			t.Errorf("%s, late in %s: %q and %q, want %q and %q", shape.name, row.list, init, main, row.init, row.main)
		}
		var before object
		if err := json.Unmarshal(first.Pod(), &before); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"istio-proxy", "istio-init", "reviews"} {
			if got, want := mustJSON(ours(o, name)), mustJSON(ours(before, name)); got != want {
				t.Errorf("%s, late in %s: %s is\n%s\nwas\n%s", shape.name, row.list, name, got, want)
			}
		}
		if third := injectTypical(set, string(again.Pod()), shape.native); third.Patch != nil {
			t.Errorf("%s: a third time: %s", shape.name, third.Patch)
		}
	}
}

// TestSidecarTakenAwayComesBack: a webhook that drops what we added gets it once more.
func TestSidecarTakenAwayComesBack(t *testing.T) {
	for _, shape := range shapes[:3] {
		set := setOf(t, injector("default", "default", shape.edit))
		first := injectTypical(set, shape.pod, shape.native)
		var o object
		without := changedBy(t, first.Pod(), func(pod object) {
			for _, list := range []string{"initContainers", "containers"} {
				specOf(pod)[list] = slices.DeleteFunc(containersIn(pod, list), func(c any) bool { return c.(object)["name"] == "istio-proxy" })
			}
			specOf(pod)["volumes"] = specOf(pod)["volumes"].([]any)[:2]
		})
		again := injectTypical(set, without, shape.native)
		if err := json.Unmarshal(again.Pod(), &o); err != nil {
			t.Fatal(err)
		}
		var want object
		if err := json.Unmarshal(first.Pod(), &want); err != nil {
			t.Fatal(err)
		}
		if mustJSON(o) != mustJSON(want) {
			t.Errorf("%s:\n%s\nwant\n%s", shape.name, mustJSON(o), mustJSON(want))
		}
	}
}

// TestManyOtherWebhooks: several of them in any order.
func TestManyOtherWebhooks(t *testing.T) {
	var changes []func(object)
	for _, name := range slices.Sorted(maps.Keys(harmless)) {
		changes = append(changes, harmless[name])
	}
	for _, shape := range shapes {
		set := setOf(t, injector("default", "default", shape.edit))
		first := injectTypical(set, shape.pod, shape.native)
		for seed := range uint64(50) {
			r := rand.New(rand.NewPCG(seed, 4))
			pod := changedBy(t, first.Pod(), func(pod object) {
				for _, i := range r.Perm(len(changes))[:r.IntN(len(changes))] {
					changes[i](pod)
				}
			})
			if again := injectTypical(set, pod, shape.native); again.Outcome != inject.OutcomeInject || again.Patch != nil {
				t.Fatalf("%s, seed %d: %s: %s\npatch %s", shape.name, seed, again.Outcome, again.Message(), again.Patch)
			}
		}
	}
}
