package inject_test

import (
	"strings"
	"testing"

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
	{name: "another injector was here", metadata: `"annotations":{"sidecar.istio.io/status":"{}"}`, outcome: inject.OutcomeSkip, reason: inject.ReasonForeignSidecar, says: "another injector"},
	{name: "linkerd", spec: `"containers":[{"name":"linkerd-proxy"}]`, outcome: inject.OutcomeSkip, reason: inject.ReasonForeignSidecar, says: "linkerd-proxy"},
	{name: "native kuma", spec: `"initContainers":[{"name":"kuma-sidecar"}]`, outcome: inject.OutcomeSkip, reason: inject.ReasonForeignSidecar, says: "kuma-sidecar"},
	{name: "bad annotation", metadata: `"annotations":{"traffic.sidecar.istio.io/excludeOutboundPorts":"80,x"}`, outcome: inject.OutcomeDeny, reason: inject.ReasonAnnotationInvalid, says: `annotation "traffic.sidecar.istio.io/excludeOutboundPorts" = "80,x": "x" is not a port; want ports or ranges, such as 80,8000-8010`},
	{name: "unknown template", metadata: `"annotations":{"inject.istio.io/templates":"sidecar,nope"}`, outcome: inject.OutcomeDeny, reason: inject.ReasonTemplateUnknown, says: `"nope" is no template of injector "default"; want one of sidecar`},
	{name: "broken overrides", metadata: `"annotations":{"proxy.istio.io/overrides":"{"}`, outcome: inject.OutcomeDeny, reason: inject.ReasonOverrideInvalid, says: "proxy.istio.io/overrides"},
	{name: "user collides", spec: `"containers":[{"name":"app","securityContext":{"runAsUser":1337}}]`, outcome: inject.OutcomeDeny, reason: inject.ReasonUIDCollision, says: `container "app" runs as user 1337`},
	{name: "pod's user collides", spec: `"securityContext":{"runAsUser":1337},"containers":[{"name":"app"}]`, outcome: inject.OutcomeDeny, reason: inject.ReasonUIDCollision},
	{name: "container's user before the pod's", spec: `"securityContext":{"runAsUser":1337},"containers":[{"name":"app","securityContext":{"runAsUser":1}}]`, outcome: inject.OutcomeInject, reason: inject.ReasonNamespaceLabel},
	{name: "init containers may run as the proxy", spec: `"initContainers":[{"name":"i","securityContext":{"runAsUser":1337}}],"containers":[{"name":"app"}]`, outcome: inject.OutcomeInject, reason: inject.ReasonNamespaceLabel},
	{name: "collision allowed", metadata: `"annotations":{"pillion.dev/allow-proxy-uid":"true"}`, spec: `"containers":[{"name":"app","securityContext":{"runAsUser":1337}}]`, outcome: inject.OutcomeInject, reason: inject.ReasonNamespaceLabel},
	{name: "no capture, no collision", metadata: `"annotations":{"sidecar.istio.io/interceptionMode":"NONE"}`, spec: `"containers":[{"name":"app","securityContext":{"runAsUser":1337}}]`, outcome: inject.OutcomeInject, reason: inject.ReasonNamespaceLabel},
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
	{name: "nobody asks", want: inject.ReasonNotSelected, says: `label the namespace istio-injection=enabled`},
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
	withDefault := setOf(t, injector("default", "default", func(s *v1alpha1.InjectorSpec) { s.ExcludedNamespaces = []string{"monitoring"} }))
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
