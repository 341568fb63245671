package cli

import (
	"encoding/json"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject"
	"github.com/pillion-mesh/pillion/internal/inject/injecttest"
	"github.com/pillion-mesh/pillion/templates"
)

// TestLastGoodOfTheOperatorThatServes: a canary operator keeps its Injectors' versions under its own name.
func TestLastGoodOfTheOperatorThatServes(t *testing.T) {
	const broken = "spec: ["
	canary := injecttest.Injector("far", "far", func(s *v1alpha1.InjectorSpec) {
		s.Templates = []v1alpha1.Template{{Name: "mark", Inline: broken}}
	})
	canary.UID = "u1"
	good := canary.DeepCopy()
	good.Spec.Templates = nil
	text, err := json.Marshal(good)
	if err != nil {
		t.Fatal(err)
	}
	op := injecttest.Operator(templates.FS)
	op.Service = "pillion-canary"
	asks := PodWithLabels("plain", map[string]string{"istio.io/rev": "far"})
	for _, row := range []struct {
		service string
		injects bool
	}{{"pillion-canary", true}, {"pillion", false}} {
		objects := []client.Object{canary.DeepCopy(), &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Namespace: "pillion-system", Name: v1alpha1.LastGoodName(row.service, "far")},
			Data:       map[string]string{v1alpha1.LastGoodKey: string(text)},
		}}
		for _, w := range inject.Webhooks(good, good.Names(), op, nil) {
			objects = append(objects, &w)
		}
		got := checkText(t, shop(t, objects...), "plain", asks)
		if strings.Contains(got, "✔ injected") != row.injects {
			t.Errorf("kept by %s: want injected %t:\n%s", row.service, row.injects, got)
		}
	}
}
