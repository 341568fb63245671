package inject_test

import (
	"fmt"
	"slices"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject"
	"github.com/pillion-mesh/pillion/internal/inject/injecttest"
)

// onPods is somebody's webhook configuration with one entry that sees pods being created.
func onPods(configuration, entry string, namespaces, pods *metav1.LabelSelector) admissionregistrationv1.MutatingWebhookConfiguration {
	return admissionregistrationv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: configuration},
		Webhooks: []admissionregistrationv1.MutatingWebhook{{
			Name: entry, NamespaceSelector: namespaces, ObjectSelector: pods,
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
				Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}},
			}},
		}},
	}
}

func selector(key string, operator metav1.LabelSelectorOperator, values ...string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: key, Operator: operator, Values: values}}}
}

const (
	is     = metav1.LabelSelectorOpIn
	isNot  = metav1.LabelSelectorOpNotIn
	absent = metav1.LabelSelectorOpDoesNotExist
)

func TestConflicts(t *testing.T) {
	for _, row := range []struct {
		name  string
		other admissionregistrationv1.MutatingWebhookConfiguration
		edit  func(*v1alpha1.InjectorSpec)
		want  string // "" for none
	}{
		{name: "Istio's default revision", other: onPods("istio-sidecar-injector", "namespace.sidecar-injector.istio.io", selector("istio-injection", is, "enabled"), nil),
			want: "webhook istio-sidecar-injector/namespace.sidecar-injector.istio.io of Istio matches pods that pillion-injector-default/namespace matches too, such as a pod without labels in a namespace labelled istio-injection=enabled"},
		{name: "Istio's revision of another name", other: onPods("istio-sidecar-injector-1-29", "rev.namespace.sidecar-injector.istio.io", &metav1.LabelSelector{
			MatchLabels:      map[string]string{"istio.io/rev": "1-29"},
			MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "istio-injection", Operator: absent}}}, nil)},
		{name: "Istio's tag of our name", other: onPods("istio-revision-tag-default", "rev.object.sidecar-injector.istio.io", nil, selector("istio.io/rev", is, "default")),
			want: "webhook istio-revision-tag-default/rev.object.sidecar-injector.istio.io of Istio matches pods that pillion-injector-default/rev.namespace matches too, such as a pod labelled istio.io/rev=default in a namespace labelled istio.io/rev=default"},
		{name: "Linkerd sees all pods", other: onPods("linkerd-proxy-injector-webhook-config", "linkerd-proxy-injector.linkerd.io", selector("config.linkerd.io/admission-webhooks", isNot, "disabled"), selector("linkerd.io/control-plane-component", absent)),
			want: "webhook linkerd-proxy-injector-webhook-config/linkerd-proxy-injector.linkerd.io of Linkerd matches pods that pillion-injector-default/rev.namespace matches too, such as a pod without labels in a namespace labelled istio.io/rev=default"},
		{name: "Kuma's namespaces", other: onPods("kuma-admission-mutating-webhook-configuration", "namespace-kuma-injector.kuma.io", selector("kuma.io/sidecar-injection", is, "enabled", "true"), nil),
			want: "webhook kuma-admission-mutating-webhook-configuration/namespace-kuma-injector.kuma.io of Kuma matches pods that pillion-injector-default/rev.namespace matches too, such as a pod without labels in a namespace labelled istio.io/rev=default, kuma.io/sidecar-injection=enabled"},
		{name: "Consul in one namespace that is excluded", other: onPods("consul-connect-injector", "consul-connect-injector.consul.hashicorp.com", selector("kubernetes.io/metadata.name", is, "monitoring"), nil),
			edit: func(s *v1alpha1.InjectorSpec) { s.ExcludedNamespaces = []string{"monitoring"} }},
		{name: "Consul in one namespace", other: onPods("consul-connect-injector", "consul-connect-injector.consul.hashicorp.com", selector("kubernetes.io/metadata.name", is, "shop"), nil),
			want: "webhook consul-connect-injector/consul-connect-injector.consul.hashicorp.com of Consul matches pods that pillion-injector-default/rev.namespace matches too, such as a pod without labels in a namespace labelled istio.io/rev=default, kubernetes.io/metadata.name=shop"},
		{name: "unknown mesh", other: onPods("acme", "sidecar-injector.acme.example", nil, selector("sidecar.istio.io/inject", is, "true", "false")),
			want: "webhook acme/sidecar-injector.acme.example of another sidecar injector matches pods that pillion-injector-default/rev.namespace matches too, such as a pod labelled sidecar.istio.io/inject=true in a namespace labelled istio.io/rev=default"},
		{name: "pods that said no to us", other: onPods("acme", "sidecar-injector.acme.example", nil, selector("sidecar.istio.io/inject", is, "false"))},
		{name: "another kind of webhook", other: onPods("kyverno", "mutate.kyverno.svc", nil, nil)},
		{name: "a sidecar that captures nothing", other: onPods("dapr-sidecar-injector", "sidecar-injector.dapr.io", nil, nil)},
		{name: "an invalid selector", other: onPods("istio-sidecar-injector", "namespace.sidecar-injector.istio.io", selector("istio-injection", "Near", "enabled"), nil)},
		{name: "ours of another operator", other: onPods("pillion-injector-blue", "rev.namespace.injector.pillion.dev", nil, nil)},
	} {
		t.Run(row.name, func(t *testing.T) {
			edit := row.edit
			if edit == nil {
				edit = func(*v1alpha1.InjectorSpec) {}
			}
			ours := setOf(t, injector("default", "default", edit)).Webhooks()
			var got string
			for _, c := range inject.Conflicts(ours, []admissionregistrationv1.MutatingWebhookConfiguration{row.other}) {
				got += c.Sentence()
				checkExample(t, ours, row.other, c.Example)
			}
			if got != row.want {
				t.Errorf("got  %q\nwant %q", got, row.want)
			}
		})
	}
}

// checkExample: both do match the labels that are named.
func checkExample(t *testing.T, ours []admissionregistrationv1.MutatingWebhookConfiguration, other admissionregistrationv1.MutatingWebhookConfiguration, e inject.Example) {
	t.Helper()
	ns := inject.Namespace{Name: "some", Labels: e.NamespaceLabels}
	if name := e.NamespaceLabels["kubernetes.io/metadata.name"]; name != "" {
		ns.Name = name
	}
	if len(inject.Select(ours, ns, e.PodLabels)) != 1 || len(inject.Select([]admissionregistrationv1.MutatingWebhookConfiguration{other}, ns, e.PodLabels)) != 1 {
		t.Errorf("%v is no example: one of the two doesn't match", e.String())
	}
}

// TestConflictsAreFoundExactly: over every combination of labels two entries meet if, and only if, an example is found.
func TestConflictsAreFoundExactly(t *testing.T) {
	world := injecttest.Simple(v1alpha1.PolicyOptOut)
	ours := setOf(t, world.Injectors...).Webhooks()
	for _, mine := range ours {
		for _, entry := range mine.Webhooks {
			single := mine
			single.Webhooks = []admissionregistrationv1.MutatingWebhook{entry}
			rows := rowsOf(&world, single)
			for _, other := range foreignSelectors() {
				met := slices.ContainsFunc(rows, func(row injecttest.Row) bool { return matches(other, &row) })
				found := inject.Conflicts([]admissionregistrationv1.MutatingWebhookConfiguration{single}, []admissionregistrationv1.MutatingWebhookConfiguration{other})
				if (len(found) == 1) != met {
					t.Errorf("%s/%s and %s: conflicts %v, by trying all labels: %t", mine.Name, entry.Name, other.Name, found, met)
				}
			}
		}
	}
}

// rowsOf are the combinations of labels that a configuration matches.
func rowsOf(w *injecttest.World, c admissionregistrationv1.MutatingWebhookConfiguration) []injecttest.Row {
	return slices.DeleteFunc(w.Rows(), func(row injecttest.Row) bool { return !matches(c, &row) })
}

func matches(c admissionregistrationv1.MutatingWebhookConfiguration, row *injecttest.Row) bool {
	ns := inject.Namespace{Name: "shop", Labels: row.NamespaceLabels()}
	return len(inject.Select([]admissionregistrationv1.MutatingWebhookConfiguration{c}, ns, row.PodLabels())) > 0
}

func foreignSelectors() (all []admissionregistrationv1.MutatingWebhookConfiguration) {
	namespaces := []*metav1.LabelSelector{nil, selector("istio-injection", is, "enabled", "on"), selector("istio-injection", isNot, "enabled"), selector("istio.io/rev", "Exists"), selector("istio.io/rev", absent)}
	pods := []*metav1.LabelSelector{nil, selector("sidecar.istio.io/inject", is, "true"), selector("sidecar.istio.io/inject", is, "false", ""), selector("sidecar.istio.io/inject", absent), selector("istio.io/rev", is, "canary"), selector("istio.io/rev", absent)}
	for i, ns := range namespaces {
		for j, pod := range pods {
			all = append(all, onPods(fmt.Sprintf("sidecar-injector-%d-%d", i, j), "acme.example", ns, pod))
		}
	}
	return all
}

func TestConflictsAreBounded(t *testing.T) {
	var many []admissionregistrationv1.MutatingWebhookConfiguration
	for range 1000 {
		many = append(many, onPods("istio-sidecar-injector", "sidecar-injector.istio.io", nil, nil))
	}
	if got := inject.Conflicts(setOf(t, injector("default", "default")).Webhooks(), many); len(got) != 64 {
		t.Errorf("%d conflicts are told, want 64 at most", len(got))
	}
}

// TestSeesPods: rules of webhooks that aren't asked about pods being created are no business of ours.
func TestSeesPods(t *testing.T) {
	create, cluster := admissionregistrationv1.Create, admissionregistrationv1.ClusterScope
	for name, row := range map[string]struct {
		rule admissionregistrationv1.RuleWithOperations
		want bool
	}{
		"pods":         {rule(create, "", "v1", "pods", nil), true},
		"all":          {rule("*", "*", "*", "*", nil), true},
		"subresources": {rule("*", "*", "*", "*/*", nil), true},
		"update":       {rule("UPDATE", "", "v1", "pods", nil), false},
		"services":     {rule(create, "", "v1", "services", nil), false},
		"pods/exec":    {rule(create, "", "v1", "pods/exec", nil), false},
		"other group":  {rule(create, "apps", "v1", "pods", nil), false},
		"cluster":      {rule(create, "", "v1", "*", &cluster), false},
	} {
		w := admissionregistrationv1.MutatingWebhook{Rules: []admissionregistrationv1.RuleWithOperations{row.rule}}
		if got := inject.SeesPods(&w); got != row.want {
			t.Errorf("%s: %t, want %t", name, got, row.want)
		}
	}
	if inject.SeesPods(&admissionregistrationv1.MutatingWebhook{}) {
		t.Error("no rule sees nothing")
	}
}

func rule(operation admissionregistrationv1.OperationType, group, version, resource string, scope *admissionregistrationv1.ScopeType) admissionregistrationv1.RuleWithOperations {
	return admissionregistrationv1.RuleWithOperations{
		Operations: []admissionregistrationv1.OperationType{operation},
		Rule:       admissionregistrationv1.Rule{APIGroups: []string{group}, APIVersions: []string{version}, Resources: []string{resource}, Scope: scope},
	}
}
