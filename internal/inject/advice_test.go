package inject_test

import (
	"maps"
	"regexp"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject"
	"github.com/pillion-mesh/pillion/internal/inject/injecttest"
)

// TestFollowedAdviceInjects: for every combination of labels that gives no sidecar, whoever does what the advice says,
// by the letter, gets one.
func TestFollowedAdviceInjects(t *testing.T) {
	canary := injector("canary", "canary")
	worlds := map[v1alpha1.Policy]injecttest.World{}
	for _, policy := range []v1alpha1.Policy{v1alpha1.PolicyOptIn, v1alpha1.PolicyOptOut, v1alpha1.PolicyExplicit} {
		worlds[policy] = injecttest.Simple(policy)
	}
	simple := worlds[v1alpha1.PolicyOptIn]
	for name, injectors := range map[string][]v1alpha1.Injector{
		"opt-in":     worlds[v1alpha1.PolicyOptIn].Injectors,
		"opt-out":    worlds[v1alpha1.PolicyOptOut].Injectors,
		"explicit":   worlds[v1alpha1.PolicyExplicit].Injectors,
		"no default": {canary},
		"never": {injector("default", "default", func(s *v1alpha1.InjectorSpec) {
			s.NeverInject = []metav1.LabelSelector{{MatchLabels: map[string]string{"app": "web"}}}
		})},
	} {
		set, advised := setOf(t, injectors...), 0
		for _, row := range simple.Rows() {
			for _, annotation := range []string{"", "true", "false"} {
				pod := row.PodLabels()
				pod["app"] = "web"
				ns := inject.Namespace{Name: "shop", Labels: row.NamespaceLabels()}
				if d := set.Decide(request(ns, pod, annotation)); d.Outcome == inject.OutcomeInject {
					continue
				} else if advice := d.Advice(); !follow(t, advice, ns.Labels, pod) {
					t.Fatalf("%s: namespace %v, pod %v: %s: advice %q changes no label", name, ns.Labels, pod, d.Reason(), advice)
				}
				advised++
				if d := set.Decide(request(ns, pod, annotation)); d.Outcome != inject.OutcomeInject {
					t.Errorf("%s: namespace %v, pod %v, annotation %q: the advice leads to namespace %v, pod %v, and that to %s: %s",
						name, row.NamespaceLabels(), row.PodLabels(), annotation, ns.Labels, pod, d.Reason(), d.Message())
				}
			}
		}
		if advised < 100 {
			t.Errorf("%s: only %d combinations give no sidecar: this proves little", name, advised)
		}
	}
}

func request(ns inject.Namespace, labels map[string]string, annotation string) inject.Request {
	metadata := map[string]any{"name": "p", "labels": labels}
	if annotation != "" {
		metadata["annotations"] = map[string]string{"sidecar.istio.io/inject": annotation}
	}
	return inject.Request{Namespace: ns, Pod: []byte(mustJSON(map[string]any{
		"metadata": metadata, "spec": map[string]any{"containers": []any{map[string]any{"name": "app"}}},
	}))}
}

var podLabel = regexp.MustCompile(`([a-z./]+): "([^"]*)"`)

// follow does what advice says to labels.
func follow(t *testing.T, advice string, ns, pod map[string]string) (changed bool) {
	t.Helper()
	before := [2]map[string]string{maps.Clone(ns), maps.Clone(pod)}
	for part := range strings.SplitSeq(advice, "; and ") {
		if labels, isCommand := strings.CutPrefix(part, "kubectl label --overwrite namespace shop "); isCommand {
			for argument := range strings.FieldsSeq(labels) {
				if key, removed := strings.CutSuffix(argument, "-"); removed {
					delete(ns, key)
				} else {
					key, value, _ := strings.Cut(argument, "=")
					ns[key] = value
				}
			}
			continue
		}
		if !strings.HasPrefix(part, "label the pod ") {
			t.Fatalf("advice %q", advice)
		}
		for _, match := range podLabel.FindAllStringSubmatch(part, -1) {
			pod[match[1]] = match[2]
		}
	}
	return !maps.Equal(before[0], ns) || !maps.Equal(before[1], pod)
}

func TestAdvice(t *testing.T) {
	set := setOf(t, injector("default", "default", func(s *v1alpha1.InjectorSpec) { s.ExcludedNamespaces = []string{"monitoring"} }))
	for _, row := range []struct {
		namespace, labels, metadata, spec, want string
	}{
		{namespace: "shop", want: "kubectl label --overwrite namespace shop istio-injection=enabled"},
		{namespace: "a; rm -rf /", want: "kubectl label --overwrite namespace NAMESPACE istio-injection=enabled"},
		{namespace: "shop", labels: "enabled", want: ""},
		{namespace: "shop", metadata: `"labels":{"sidecar.istio.io/inject":"false"}`, want: `label the pod sidecar.istio.io/inject: "true" (of a workload: in its pod template)`},
		{namespace: "shop", labels: "disabled", metadata: `"labels":{"sidecar.istio.io/inject":"false"}`,
			want: `kubectl label --overwrite namespace shop istio-injection=enabled; and label the pod sidecar.istio.io/inject: "true" (of a workload: in its pod template)`},
		{namespace: "shop", labels: "enabled", spec: `"hostNetwork":true`, want: "remove spec.hostNetwork from the pod"},
		{namespace: "shop", spec: `"hostNetwork":true`, want: "remove spec.hostNetwork from the pod"},
		{namespace: "shop", spec: `"os":{"name":"windows"}`, want: ""},
		{namespace: "shop", metadata: `"annotations":{"kubernetes.io/config.mirror":"x"}`, want: "run it as a Deployment or DaemonSet instead of from a file of the node"},
		{namespace: "kube-system", labels: "enabled", want: "create it in another namespace"},
		{namespace: "pillion-system", labels: "enabled", want: "create it in another namespace"},
		{namespace: "monitoring", labels: "enabled", want: "kubectl edit injector default, and remove the namespace from spec.excludedNamespaces"},
		{namespace: "shop", labels: "enabled", spec: `"containers":[{"name":"linkerd-proxy"}]`, want: "take the other mesh's sidecar out of the pod, and keep its injector from this namespace"},
		{namespace: "shop", labels: "enabled", metadata: `"annotations":{"sidecar.istio.io/proxyCPU":"x"}`, want: ""},
	} {
		ns := inject.Namespace{Name: row.namespace, Labels: map[string]string{"kubernetes.io/metadata.name": row.namespace}}
		if row.labels != "" {
			ns.Labels["istio-injection"] = row.labels
		}
		d := set.Decide(inject.Request{Namespace: ns, Pod: []byte(`{"metadata":{` + row.metadata + `},"spec":{` + row.spec + `}}`)})
		if got := d.Advice(); got != row.want {
			t.Errorf("namespace %s %s, %s %s: %s: advice %q, want %q", row.namespace, row.labels, row.metadata, row.spec, d.Reason(), got, row.want)
		}
	}
	none := setOf(t)
	if d := none.Decide(inject.Request{Pod: []byte(`{}`)}); !strings.Contains(d.Advice(), "kubectl get injectors") {
		t.Errorf("no Injector at all: advice %q", d.Advice())
	}
}
