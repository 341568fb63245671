package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject"
	"github.com/pillion-mesh/pillion/internal/inject/injecttest"
	"github.com/pillion-mesh/pillion/templates"
)

// small is a namespace's LimitRange that has no room for the sidecar.
func small(namespace string) *corev1.LimitRange {
	return &corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "small"}, Spec: corev1.LimitRangeSpec{
		Limits: []corev1.LimitRangeItem{{Type: corev1.LimitTypeContainer, Max: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("256Mi")}}},
	}}
}

// worldOf is a cluster of the Injectors of a truth table, with a namespace for each set of labels that its rows have.
func worldOf(t *testing.T, world injecttest.World, rows []injecttest.Row) (c client.Reader, pods []*unstructured.Unstructured) {
	t.Helper()
	var objects []client.Object
	names := map[string]string{}
	for i := range rows {
		labels := rows[i].NamespaceLabels()
		name := names[fmt.Sprint(labels)]
		if name == "" {
			name = fmt.Sprintf("ns-%d", len(names))
			names[fmt.Sprint(labels)] = name
			objects = append(objects, namespace(name, labels), small(name))
		}
		pods = append(pods, PodWithLabels(name, rows[i].PodLabels()))
	}
	byName := map[string]*v1alpha1.Injector{}
	for i := range world.Injectors {
		byName[world.Injectors[i].Name] = &world.Injectors[i]
		objects = append(objects, &world.Injectors[i])
	}
	for _, name := range world.Names() {
		for _, w := range inject.Webhooks(byName[world.Owners[name]], []string{name}, injecttest.Operator(templates.FS), nil) {
			objects = append(objects, &w)
		}
	}
	scheme, err := Scheme()
	if err != nil {
		t.Fatal(err)
	}
	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build(), pods
}

// TestCheckInjectAgreesWithTheWebhook: on every row of the truth table, in a namespace too small for the sidecar,
// check-inject says what the webhook does, and warns of what the webhook warns of.
func TestCheckInjectAgreesWithTheWebhook(t *testing.T) {
	for _, policy := range []v1alpha1.Policy{v1alpha1.PolicyOptIn, v1alpha1.PolicyOptOut, v1alpha1.PolicyExplicit} {
		world := injecttest.Simple(policy)
		rows := world.Rows()
		c, pods := worldOf(t, world, rows)
		checks, err := CheckInject(t.Context(), c, injecttest.Operator(templates.FS), "default", pods...)
		if err != nil || len(checks) != len(rows) {
			t.Fatalf("%d checks of %d rows: %v", len(checks), len(rows), err)
		}
		set, err := injecttest.NewSet(injecttest.Operator(templates.FS), world.Injectors...)
		if err != nil {
			t.Fatal(err)
		}
		for i := range rows {
			told := webhookSays(t, set, &rows[i], pods[i])
			if got := checks[i].Decision; checks[i].Injected != rows[i].Injected || got.Outcome != told.Outcome || got.Reason() != told.Reason() || !slices.Equal(got.Warnings, told.Warnings) {
				t.Fatalf("%s, %v %v: check-inject says %s, %s %q; the webhook %s, %s %q", policy, rows[i].NamespaceLabels(), rows[i].PodLabels(),
					got.Outcome, got.Reason(), got.Warnings, told.Outcome, told.Reason(), told.Warnings)
			}
			if rows[i].Injected && !strings.Contains(strings.Join(told.Warnings, "\n"), "LimitRange small") {
				t.Fatalf("the webhook doesn't warn of the LimitRange: %q", told.Warnings)
			}
		}
	}
}

// webhookSays asks as the webhook would: with what the API server's call says of the entry.
func webhookSays(t *testing.T, set *inject.Set, row *injecttest.Row, pod *unstructured.Unstructured) inject.Decision {
	t.Helper()
	text, err := json.Marshal(pod)
	if err != nil {
		t.Fatal(err)
	}
	r := inject.Request{Pod: text, Namespace: inject.Namespace{
		Name: pod.GetNamespace(), Labels: row.NamespaceLabels(), Allowance: inject.Allowance{Ranges: []corev1.LimitRange{*small(pod.GetNamespace())}},
	}}
	d := set.Decide(r)
	r.Injector, r.Entry = d.Injector, d.Entry
	return set.Inject(t.Context(), r).Decision
}

// TestCheckInjectWithoutPermissionForQuotas: the answer is there all the same, and says what it doesn't know.
func TestCheckInjectWithoutPermissionForQuotas(t *testing.T) {
	c := interceptor.NewClient(shop(t), interceptor.Funcs{List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, o ...client.ListOption) error {
		if _, quotas := list.(*corev1.ResourceQuotaList); quotas {
			return errors.New("forbidden")
		}
		return c.List(ctx, list, o...)
	}})
	text := checkText(t, c, "enabled", PodWithLabels("enabled", nil))
	if !strings.Contains(text, "✔ injected") || !strings.Contains(text, "note: whether the sidecar is too large for namespace enabled isn't known: listing resourcequotas: forbidden") {
		t.Error(text)
	}
}
