package inject_test

import (
	"maps"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject"
)

// decisions are the rows of the decision table. Pods are written as metadata and spec; the namespace is "shop" and
// labelled istio-injection=enabled unless a row says otherwise.
var decisions = []struct {
	name           string
	metadata, spec string
	entry          string
	namespace      *inject.Namespace
	edit           func(*v1alpha1.InjectorSpec)
	outcome        inject.Outcome
	reason         inject.Reason
	says           string // part of the sentence
}{
	{name: "namespace label", outcome: inject.OutcomeInject, reason: inject.ReasonNamespaceLabel, says: `namespace "shop"`},
	{name: "namespace revision", entry: inject.EntryRevNamespace, namespace: &inject.Namespace{Name: "shop", Labels: map[string]string{"istio.io/rev": "default"}}, outcome: inject.OutcomeInject, reason: inject.ReasonNamespaceRevision, says: "istio.io/rev=default"},
	{name: "pod revision", entry: inject.EntryRevObject, metadata: `"labels":{"istio.io/rev":"default"}`, outcome: inject.OutcomeInject, reason: inject.ReasonPodRevision, says: "istio.io/rev=default"},
	{name: "opt-out policy", entry: inject.EntryAuto, outcome: inject.OutcomeInject, reason: inject.ReasonOptOutPolicy, says: "OptOut"},
	{name: "pod label", metadata: `"labels":{"sidecar.istio.io/inject":"true"}`, outcome: inject.OutcomeInject, reason: inject.ReasonPodLabel, says: `"true"`},
	{name: "pod label, other spelling", metadata: `"labels":{"sidecar.istio.io/inject":"enabled"}`, outcome: inject.OutcomeInject, reason: inject.ReasonPodLabel, says: `"enabled"`},
	{name: "pod annotation", metadata: `"annotations":{"sidecar.istio.io/inject":"true"}`, outcome: inject.OutcomeInject, reason: inject.ReasonPodAnnotation, says: "annotation"},
	{name: "label before annotation", metadata: `"labels":{"sidecar.istio.io/inject":"false"},"annotations":{"sidecar.istio.io/inject":"true"}`, outcome: inject.OutcomeSkip, reason: inject.ReasonPodOptedOut, says: "label"},
	{name: "empty label before annotation", metadata: `"labels":{"sidecar.istio.io/inject":""},"annotations":{"sidecar.istio.io/inject":"false"}`, outcome: inject.OutcomeInject, reason: inject.ReasonNamespaceLabel},
	{name: "annotation off", metadata: `"annotations":{"sidecar.istio.io/inject":"disabled"}`, outcome: inject.OutcomeSkip, reason: inject.ReasonPodOptedOut, says: `"disabled"`},
	{name: "host network", spec: `"hostNetwork":true`, metadata: `"labels":{"sidecar.istio.io/inject":"true"}`, outcome: inject.OutcomeSkip, reason: inject.ReasonHostNetwork, says: "hostNetwork"},
	{name: "windows", spec: `"os":{"name":"windows"}`, outcome: inject.OutcomeSkip, reason: inject.ReasonWindows, says: "spec.os.name"},
	{name: "windows nodes", spec: `"nodeSelector":{"kubernetes.io/os":"windows"}`, outcome: inject.OutcomeSkip, reason: inject.ReasonWindows, says: "nodeSelector"},
	{name: "mirror pod", metadata: `"annotations":{"kubernetes.io/config.mirror":"x"}`, outcome: inject.OutcomeSkip, reason: inject.ReasonMirrorPod},
	{name: "system namespace", namespace: &inject.Namespace{Name: "kube-system"}, outcome: inject.OutcomeSkip, reason: inject.ReasonSystemNamespace, says: `"kube-system"`},
	{name: "operator namespace", namespace: &inject.Namespace{Name: "pillion-system"}, outcome: inject.OutcomeSkip, reason: inject.ReasonOperatorNamespace, says: `"pillion-system"`},
	{name: "excluded namespace", edit: func(s *v1alpha1.InjectorSpec) { s.ExcludedNamespaces = []string{"shop"} }, outcome: inject.OutcomeSkip, reason: inject.ReasonExcludedNamespace, says: `injector "default"`},
	{name: "explicit policy", edit: func(s *v1alpha1.InjectorSpec) { s.Policy = v1alpha1.PolicyExplicit }, outcome: inject.OutcomeSkip, reason: inject.ReasonPolicyExplicit, says: "Explicit"},
	{name: "explicit policy, pod asks", edit: func(s *v1alpha1.InjectorSpec) { s.Policy = v1alpha1.PolicyExplicit }, metadata: `"labels":{"sidecar.istio.io/inject":"true"}`, outcome: inject.OutcomeInject, reason: inject.ReasonPodLabel},
	{name: "never", edit: listed("never"), metadata: `"labels":{"app":"web"}`, outcome: inject.OutcomeSkip, reason: inject.ReasonNeverSelector, says: `match spec.neverInject[1] of injector "default"`},
	{name: "never, pod asks", edit: listed("never"), metadata: `"labels":{"app":"web","sidecar.istio.io/inject":"true"}`, outcome: inject.OutcomeInject, reason: inject.ReasonPodLabel},
	{name: "never, pod asks by annotation", edit: listed("never"), metadata: `"labels":{"app":"web"},"annotations":{"sidecar.istio.io/inject":"true"}`, outcome: inject.OutcomeInject, reason: inject.ReasonPodAnnotation},
	{name: "never, no answer", edit: listed("never"), metadata: `"labels":{"app":"web","sidecar.istio.io/inject":"maybe"}`, outcome: inject.OutcomeSkip, reason: inject.ReasonNeverSelector},
	{name: "never, other pods", edit: listed("never"), metadata: `"labels":{"app":"db"}`, outcome: inject.OutcomeInject, reason: inject.ReasonNamespaceLabel},
	{name: "never, a label's presence", edit: listed("never"), metadata: `"labels":{"job":""}`, outcome: inject.OutcomeSkip, reason: inject.ReasonNeverSelector, says: "spec.neverInject[0]"},
	{name: "always comes before the policy", edit: listed("always"), metadata: `"labels":{"app":"web"}`, outcome: inject.OutcomeInject, reason: inject.ReasonAlwaysSelector, says: `match spec.alwaysInject[1] of injector "default"`},
	{name: "always, pod says no", edit: listed("always"), metadata: `"labels":{"app":"web","sidecar.istio.io/inject":"false"}`, outcome: inject.OutcomeSkip, reason: inject.ReasonPodOptedOut},
	{name: "always, other pods", edit: listed("always"), metadata: `"labels":{"app":"db"}`, outcome: inject.OutcomeSkip, reason: inject.ReasonPolicyExplicit},
	{name: "never before always", edit: listed("both"), metadata: `"labels":{"app":"web"}`, outcome: inject.OutcomeSkip, reason: inject.ReasonNeverSelector},
	{name: "another injector was here", metadata: `"annotations":{"sidecar.istio.io/status":"{}"}`, outcome: inject.OutcomeSkip, reason: inject.ReasonForeignSidecar, says: "another injector"},
	{name: "linkerd", spec: `"containers":[{"name":"linkerd-proxy"}]`, outcome: inject.OutcomeSkip, reason: inject.ReasonForeignSidecar, says: "linkerd-proxy"},
	{name: "native kuma", spec: `"initContainers":[{"name":"kuma-sidecar"}]`, outcome: inject.OutcomeSkip, reason: inject.ReasonForeignSidecar, says: "kuma-sidecar"},
	{name: "bad annotation", metadata: `"annotations":{"traffic.sidecar.istio.io/excludeOutboundPorts":"80,x"}`, outcome: inject.OutcomeDeny, reason: inject.ReasonAnnotationInvalid, says: `annotation "traffic.sidecar.istio.io/excludeOutboundPorts" = "80,x": "x" is not a port; want ports or ranges, such as 80,8000-8010`},
	{name: "unknown template", metadata: `"annotations":{"inject.istio.io/templates":"sidecar,nope"}`, outcome: inject.OutcomeDeny, reason: inject.ReasonTemplateUnknown, says: `"nope" is no template of injector "default"; want one of gateway, proxyless, sidecar`},
	{name: "broken overrides", metadata: `"annotations":{"proxy.istio.io/overrides":"{"}`, outcome: inject.OutcomeDeny, reason: inject.ReasonOverrideInvalid, says: "proxy.istio.io/overrides"},
	{name: "user collides", spec: `"containers":[{"name":"app","securityContext":{"runAsUser":1337}}]`, outcome: inject.OutcomeDeny, reason: inject.ReasonUIDCollision, says: `container "app" runs as user 1337`},
	{name: "pod's user collides", spec: `"securityContext":{"runAsUser":1337},"containers":[{"name":"app"}]`, outcome: inject.OutcomeDeny, reason: inject.ReasonUIDCollision},
	{name: "container's user before the pod's", spec: `"securityContext":{"runAsUser":1337},"containers":[{"name":"app","securityContext":{"runAsUser":1}}]`, outcome: inject.OutcomeInject, reason: inject.ReasonNamespaceLabel},
	{name: "init containers may run as the proxy", spec: `"initContainers":[{"name":"i","securityContext":{"runAsUser":1337}}],"containers":[{"name":"app"}]`, outcome: inject.OutcomeInject, reason: inject.ReasonNamespaceLabel},
	{name: "sidecars may not", spec: `"initContainers":[{"name":"once"},{"name":"log","restartPolicy":"Always","securityContext":{"runAsUser":1337}}],"containers":[{"name":"app"}]`, outcome: inject.OutcomeDeny, reason: inject.ReasonUIDCollision, says: `container "log" runs as user 1337`},
	{name: "nor by the pod's user", spec: `"securityContext":{"runAsUser":1337},"initContainers":[{"name":"log","restartPolicy":"Always"}],"containers":[{"name":"app","securityContext":{"runAsUser":1}}]`, outcome: inject.OutcomeDeny, reason: inject.ReasonUIDCollision, says: `container "log" runs as user 1337`},
	{name: "collision allowed", metadata: `"annotations":{"pillion.dev/allow-proxy-uid":"true"}`, spec: `"containers":[{"name":"app","securityContext":{"runAsUser":1337}}]`, outcome: inject.OutcomeInject, reason: inject.ReasonNamespaceLabel},
	{name: "no capture, no collision", metadata: `"annotations":{"sidecar.istio.io/interceptionMode":"NONE"}`, spec: `"containers":[{"name":"app","securityContext":{"runAsUser":1337}}]`, outcome: inject.OutcomeInject, reason: inject.ReasonNamespaceLabel},
}

// listed puts pods with label app=web, or any label job, into a list: alwaysInject with policy Explicit, which it
// overrules, or neverInject.
func listed(list string) func(*v1alpha1.InjectorSpec) {
	selectors := []metav1.LabelSelector{
		{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "job", Operator: metav1.LabelSelectorOpExists}}},
		{MatchLabels: map[string]string{"app": "web"}},
	}
	return func(s *v1alpha1.InjectorSpec) {
		if list != "never" {
			s.AlwaysInject, s.Policy = selectors, v1alpha1.PolicyExplicit
		}
		if list != "always" {
			s.NeverInject = selectors
		}
	}
}

// TestEveryReasonIsReached: the reasons of package inject are those of its tables of decisions, and each has one
// meaning.
func TestEveryReasonIsReached(t *testing.T) {
	reached := map[inject.Reason]inject.Outcome{
		inject.ReasonBodyInvalid: inject.OutcomeError, inject.ReasonInjectorUnknown: inject.OutcomeError, // TestErrors
		inject.ReasonRenderFailed: inject.OutcomeError, inject.ReasonDeadline: inject.OutcomeError, // limits and deadlines
		inject.ReasonInternal: inject.OutcomeError, // the webhook's, for panics
	}
	for _, row := range decisions {
		reached[row.reason] = row.outcome
	}
	for _, row := range notCalled {
		if _, also := reached[row.want]; !also {
			reached[row.want] = inject.OutcomeSkip
		}
	}
	meanings := map[inject.Reason]inject.Outcome{}
	for _, m := range inject.Meanings() {
		if _, twice := meanings[m.Reason]; twice || m.When == "" {
			t.Errorf("reason %s has two meanings or none", m.Reason)
		}
		meanings[m.Reason] = m.Outcome
	}
	if len(meanings) != 33 || !maps.Equal(meanings, reached) {
		t.Errorf("%d reasons have a meaning, want 33; with a meaning: %v\nin the tables: %v", len(meanings), meanings, reached)
	}
}

func TestDecisions(t *testing.T) {
	plain := setOf(t, injector("default", "default"))
	for _, row := range decisions {
		t.Run(row.name, func(t *testing.T) {
			set := plain
			if row.edit != nil {
				set = setOf(t, injector("default", "default", row.edit))
			}
			r := inject.Request{
				Pod:   []byte(`{"metadata":{` + row.metadata + `},"spec":{` + row.spec + `}}`),
				Entry: inject.EntryNamespace, Namespace: inject.Namespace{Name: "shop", Labels: map[string]string{"istio-injection": "enabled"}},
			}
			if row.entry != "" {
				r.Entry = row.entry
			}
			if row.namespace != nil {
				r.Namespace = *row.namespace
			}
			d := set.Decide(r)
			if d.Outcome != row.outcome || d.Reason() != row.reason || !strings.Contains(d.Message(), row.says) {
				t.Errorf("got %s: %s: %s\nwant %s: %s: …%s…", d.Outcome, d.Reason(), d.Message(), row.outcome, row.reason, row.says)
			}
			if d.Outcome == inject.OutcomeDeny && len(d.Faults) == 0 {
				t.Error("a denial without faults")
			}
		})
	}
}

// notCalled are the reasons of pods no webhook entry matches.
var notCalled = []struct {
	name           string
	namespace, pod map[string]string
	annotation     string
	nsName         string
	noDefault      bool
	want           inject.Reason
	says           string
}{
	{name: "nobody asks", want: inject.ReasonNotSelected, says: `neither the pod nor namespace "shop" asks`},
	{name: "only alwaysInject asks", pod: map[string]string{"team": "payments"}, want: inject.ReasonNotSelected, says: `spec.alwaysInject[0] of injector "default" matches, but it makes no webhook see more pods`},
	{name: "only the annotation asks", annotation: "true", want: inject.ReasonNotSelected, says: "use the label"},
	{name: "namespace disabled", namespace: map[string]string{"istio-injection": "disabled"}, want: inject.ReasonNamespaceOptedOut, says: "disabled"},
	{name: "namespace's label unknown", namespace: map[string]string{"istio-injection": "true"}, want: inject.ReasonNamespaceLabelUnknown, says: `"true"`},
	{name: "namespace's revision unknown", namespace: map[string]string{"istio.io/rev": "1-20"}, want: inject.ReasonNamespaceRevisionUnknown, says: "there is default"},
	{name: "pod's revision unknown", pod: map[string]string{"istio.io/rev": "1-20"}, want: inject.ReasonPodRevisionUnknown, says: `"1-20"`},
	{name: "pod's label unknown", pod: map[string]string{"sidecar.istio.io/inject": "yes"}, want: inject.ReasonPodLabelUnknown, says: `"yes"`},
	{name: "pod opted out", namespace: map[string]string{"istio-injection": "enabled"}, pod: map[string]string{"sidecar.istio.io/inject": "false"}, want: inject.ReasonPodOptedOut},
	{name: "no default injector for the namespace", noDefault: true, namespace: map[string]string{"istio-injection": "enabled"}, want: inject.ReasonNoDefaultInjector, says: "there is canary"},
	{name: "no default injector for the pod", noDefault: true, pod: map[string]string{"sidecar.istio.io/inject": "true"}, want: inject.ReasonNoDefaultInjector},
	{name: "system namespace", nsName: "kube-system", namespace: map[string]string{"istio-injection": "enabled"}, want: inject.ReasonSystemNamespace},
	{name: "operator's namespace", nsName: "pillion-system", pod: map[string]string{"sidecar.istio.io/inject": "true"}, want: inject.ReasonOperatorNamespace},
	{name: "excluded namespace", nsName: "monitoring", namespace: map[string]string{"istio-injection": "enabled", "kubernetes.io/metadata.name": "monitoring"}, want: inject.ReasonExcludedNamespace},
}

func TestNotCalled(t *testing.T) {
	withDefault := setOf(t, injector("default", "default", func(s *v1alpha1.InjectorSpec) {
		s.ExcludedNamespaces = []string{"monitoring"}
		s.AlwaysInject = []metav1.LabelSelector{{MatchLabels: map[string]string{"team": "payments"}}}
	}))
	withoutDefault := setOf(t, injector("canary", "canary"))
	for _, row := range notCalled {
		t.Run(row.name, func(t *testing.T) {
			set := withDefault
			if row.noDefault {
				set = withoutDefault
			}
			pod := map[string]any{"metadata": map[string]any{"labels": row.pod}}
			if row.annotation != "" {
				pod["metadata"].(map[string]any)["annotations"] = map[string]string{"sidecar.istio.io/inject": row.annotation}
			}
			name := row.nsName
			if name == "" {
				name = "shop"
			}
			d := set.Decide(inject.Request{Namespace: inject.Namespace{Name: name, Labels: row.namespace}, Pod: []byte(mustJSON(pod))})
			if d.Outcome != inject.OutcomeSkip || d.Reason() != row.want || !strings.Contains(d.Message(), row.says) {
				t.Errorf("got %s: %s: %s\nwant skip: %s: …%s…", d.Outcome, d.Reason(), d.Message(), row.want, row.says)
			}
		})
	}
}

func TestErrors(t *testing.T) {
	set := setOf(t, injector("default", "default"))
	for _, row := range []struct {
		pod, injector string
		want          inject.Reason
	}{
		{`{`, "default", inject.ReasonBodyInvalid},
		{`[]`, "default", inject.ReasonBodyInvalid},
		{``, "default", inject.ReasonBodyInvalid},
		{`{}`, "nobody", inject.ReasonInjectorUnknown},
	} {
		d := set.Decide(inject.Request{Pod: []byte(row.pod), Injector: row.injector, Entry: inject.EntryNamespace})
		if d.Outcome != inject.OutcomeError || d.Reason() != row.want {
			t.Errorf("pod %q, injector %q: %s: %s", row.pod, row.injector, d.Outcome, d.Reason())
		}
	}
}

// TestCaptureFollowsTheProxy: a user's istio-proxy that changes user or group changes that and nothing else of what
// capture knows.
func TestCaptureFollowsTheProxy(t *testing.T) {
	set := setOf(t, injector("default", "default"))
	for context, want := range map[string]string{
		`{}`:                                   "-u 1337",
		`{"runAsUser":2000}`:                   "-u 2000 -g 1337",
		`{"runAsGroup":3000}`:                  "-u 1337 -g 3000",
		`{"runAsUser":2000,"runAsGroup":3000}`: "-u 2000 -g 3000",
		`{"runAsUser":2000,"runAsGroup":2000}`: "-u 2000",
		`{"runAsUser":0}`:                      "-u 1337",
		`{"runAsUser":0,"runAsGroup":3000}`:    "-u 1337 -g 3000",
		`{"runAsUser":0,"runAsGroup":0}`:       "-u 1337 -g 0",
	} {
		result := injectTypical(set, `{"metadata":{"name":"p"},"spec":{"containers":[{"name":"app"},{"name":"istio-proxy","image":"auto","securityContext":`+context+`}]}}`, false)
		pod := podOf(t, &result)
		args := strings.Join(pod.Spec.InitContainers[0].Args, " ")
		got := "-u " + strings.Fields(strings.SplitAfter(args, "-u ")[1])[0]
		if _, group, has := strings.Cut(args, "-g "); has {
			got += " -g " + strings.Fields(group)[0]
		}
		if got != want {
			t.Errorf("%s: %s, want %s", context, got, want)
		}
		security := pod.Spec.Containers[1].SecurityContext
		user, group, has := strings.Cut(strings.TrimPrefix(got, "-u "), " -g ")
		if !has {
			group = user
		}
		if u, g := mustJSON(security.RunAsUser), mustJSON(security.RunAsGroup); g != group || u != user && u != "0" {
			t.Errorf("%s: the proxy runs as %s:%s, which capture doesn't know", context, u, g)
		}
		if warns := strings.Contains(strings.Join(result.Warnings, ""), "istio-proxy has runAsGroup 0"); warns != (group == "0") {
			t.Errorf("%s: warnings %q", context, result.Warnings)
		}
	}
}

// TestGroupOfTheProxyWarns: an application of the proxy's group isn't captured, and its author hears of it.
func TestGroupOfTheProxyWarns(t *testing.T) {
	set := setOf(t, injector("default", "default"))
	for _, row := range []struct {
		name, annotations, spec string
		warns                   bool
	}{
		{"container", ``, `"containers":[{"name":"app","securityContext":{"runAsGroup":1337}}]`, true},
		{"pod", ``, `"securityContext":{"runAsGroup":1337},"containers":[{"name":"app"}]`, true},
		{"container before pod", ``, `"securityContext":{"runAsGroup":1337},"containers":[{"name":"app","securityContext":{"runAsGroup":1}}]`, false},
		{"another group", ``, `"containers":[{"name":"app","securityContext":{"runAsGroup":1}}]`, false},
		{"the proxy's changed group", ``, `"containers":[{"name":"app","securityContext":{"runAsGroup":3000}},{"name":"istio-proxy","securityContext":{"runAsGroup":3000}}]`, true},
		{"the proxy itself", ``, `"containers":[{"name":"app"},{"name":"istio-proxy","securityContext":{"runAsGroup":1337}}]`, false},
		{"a sidecar among the init containers", ``, `"initContainers":[{"name":"app","restartPolicy":"Always","securityContext":{"runAsGroup":1337}}],"containers":[{"name":"b"}]`, true},
		{"an init container", ``, `"initContainers":[{"name":"app","securityContext":{"runAsGroup":1337}}],"containers":[{"name":"b"}]`, false},
		{"no capture", `"sidecar.istio.io/interceptionMode":"NONE"`, `"containers":[{"name":"app","securityContext":{"runAsGroup":1337}}]`, false},
		{"wanted", `"pillion.dev/allow-proxy-uid":"true"`, `"containers":[{"name":"app","securityContext":{"runAsGroup":1337}}]`, false},
	} {
		result := injectTypical(set, `{"metadata":{"name":"p","annotations":{`+row.annotations+`}},"spec":{`+row.spec+`}}`, false)
		got := strings.Join(result.Warnings, "\n")
		if result.Outcome != inject.OutcomeInject || strings.Contains(got, `traffic of container "app" is not captured`) != row.warns {
			t.Errorf("%s: %s, warnings %q", row.name, result.Outcome, got)
		}
	}
}

// TestReference: Events go on an object that has a UID, if the pod names one.
func TestReference(t *testing.T) {
	const set, job, pod = `{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"web-5d8f9","uid":"u1"`, `{"apiVersion":"batch/v1","kind":"Job","name":"tick-28900000","uid":"u2"`, "Pod web "
	for owners, want := range map[string]string{
		set + `,"controller":true}`:                "ReplicaSet web-5d8f9 u1",
		job + `,"controller":true}`:                "Job tick-28900000 u2",
		set + `},` + job + `,"controller":true}`:   "Job tick-28900000 u2",
		`{"kind":"Thing","name":"t"},` + set + `}`: "ReplicaSet web-5d8f9 u1",
		``: pod,
	} {
		result := injectTypical(setOf(t, injector("default", "default")),
			`{"metadata":{"name":"web","labels":{"pod-template-hash":"5d8f9"},"ownerReferences":[`+owners+`]},"spec":{"containers":[{"name":"app"}]}}`, false)
		if r := result.Reference; r.Kind+" "+r.Name+" "+r.UID != want {
			t.Errorf("owners %s: %+v, want %s", owners, r, want)
		}
	}
}
