package cli

import (
	"testing"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject"
	"github.com/pillion-mesh/pillion/internal/inject/injecttest"
	"github.com/pillion-mesh/pillion/templates"
)

// TestExplanationAgreesWithSelect: for every combination of labels the rows people read mark exactly the entries that
// inject.Select finds.
func TestExplanationAgreesWithSelect(t *testing.T) {
	for _, policy := range []v1alpha1.Policy{v1alpha1.PolicyOptIn, v1alpha1.PolicyOptOut} {
		world := injecttest.Simple(policy)
		set, err := injecttest.NewSet(injecttest.Operator(templates.FS), world.Injectors...)
		if err != nil {
			t.Fatal(err)
		}
		configurations := set.Webhooks()
		for _, row := range world.EachMeaning() {
			ns := inject.Namespace{Name: "shop", Labels: row.NamespaceLabels()}
			want := map[string]bool{}
			for _, m := range inject.Select(configurations, ns, row.PodLabels()) {
				want[m.Configuration+"/"+m.Entry+".injector.pillion.dev"] = true
			}
			got := rows(configurations, ns, row.PodLabels())
			if len(got) == 0 {
				t.Fatal("no webhook sees pods")
			}
			for _, r := range got {
				if r.Matches != want[r.Webhook] {
					t.Errorf("namespace %v, pod %v: %s matches: %t (%s), Select says %t", ns.Labels, row.PodLabels(), r.Webhook, r.Matches, r.Reason, want[r.Webhook])
				}
			}
		}
	}
}

func TestExplanationNamesTheLabel(t *testing.T) {
	world := injecttest.Simple(v1alpha1.PolicyOptIn)
	set, err := injecttest.NewSet(injecttest.Operator(templates.FS), world.Injectors...)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		ns    inject.Namespace
		pod   map[string]string
		entry string
		want  string
	}{
		{inject.Namespace{Name: "shop", Labels: map[string]string{"istio-injection": "enabled"}}, nil,
			"pillion-injector-default/namespace.injector.pillion.dev", "namespace label istio-injection=enabled"},
		{inject.Namespace{Name: "shop"}, nil,
			"pillion-injector-default/namespace.injector.pillion.dev", "namespace label istio-injection is not set; it wants enabled"},
		{inject.Namespace{Name: "shop", Labels: map[string]string{"istio-injection": "enabled"}}, map[string]string{"sidecar.istio.io/inject": "false"},
			"pillion-injector-default/namespace.injector.pillion.dev", "pod label sidecar.istio.io/inject=false; it wants anything but false, disabled"},
		{inject.Namespace{Name: "kube-system"}, map[string]string{"sidecar.istio.io/inject": "true"},
			"pillion-injector-default/object.injector.pillion.dev", "namespace kube-system is excluded"},
	} {
		var found bool
		for _, r := range rows(set.Webhooks(), test.ns, test.pod) {
			if r.Webhook != test.entry {
				continue
			}
			found = true
			if r.Reason != test.want {
				t.Errorf("%+v %v: %s: %q, want %q", test.ns, test.pod, r.Webhook, r.Reason, test.want)
			}
		}
		if !found {
			t.Errorf("no row for %s", test.entry)
		}
	}
}
