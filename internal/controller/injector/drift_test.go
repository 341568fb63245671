package injector

import (
	"fmt"
	"slices"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject"
)

func rendered(t *testing.T) *admissionv1.MutatingWebhookConfiguration {
	t.Helper()
	inj := &v1alpha1.Injector{ObjectMeta: metav1.ObjectMeta{Name: "default", UID: "u1"}}
	op := inject.Operator{Namespace: "pillion-system", Service: "pillion", ServicePort: 443}
	all := inject.Webhooks(inj, []string{"default"}, op, []byte("CA"))
	if len(all) != 1 || len(all[0].Webhooks) != 4 {
		t.Fatalf("rendered %d configurations", len(all))
	}
	all[0].OwnerReferences = []metav1.OwnerReference{ownerReference(inj)}
	return &all[0]
}

func TestCompare(t *testing.T) {
	type configuration = admissionv1.MutatingWebhookConfiguration
	for _, c := range []struct {
		name   string
		change func(*configuration)
		want   []string
	}{
		{"nothing", func(*configuration) {}, nil},
		{"defaults removed", func(c *configuration) { c.Webhooks[0].FailurePolicy, c.Webhooks[0].MatchPolicy = nil, nil }, nil},
		{"sets in another order", func(c *configuration) {
			slices.Reverse(c.Webhooks)
			slices.Reverse(c.Webhooks[0].NamespaceSelector.MatchExpressions)
			slices.Reverse(c.Webhooks[0].MatchConditions)
			slices.Reverse(c.Webhooks[1].ObjectSelector.MatchExpressions[0].Values)
		}, nil},
		{"what AKS adds", func(c *configuration) {
			s := c.Webhooks[0].NamespaceSelector
			s.MatchExpressions = append(s.MatchExpressions, metav1.LabelSelectorRequirement{Key: "control-plane", Operator: metav1.LabelSelectorOpDoesNotExist})
		}, nil},
		{"more labels, annotations, owners", func(c *configuration) {
			c.Labels["team"], c.Annotations["note"] = "mesh", "x"
			c.OwnerReferences = append(c.OwnerReferences, metav1.OwnerReference{UID: "u2"})
		}, nil},
		{"label", func(c *configuration) { c.Labels["app"] = "x" }, []string{" labels"}},
		{"annotation", func(c *configuration) { c.Annotations = nil }, []string{" annotations"}},
		{"owner", func(c *configuration) { c.OwnerReferences = nil }, []string{" ownerReferences"}},
		{"entry gone", func(c *configuration) { c.Webhooks = c.Webhooks[1:] }, []string{"rev.namespace.injector.pillion.dev entry"}},
		{"entry more", func(c *configuration) {
			c.Webhooks = append(c.Webhooks, admissionv1.MutatingWebhook{Name: "x"})
		}, []string{"x entry"}},
		{"two fields of one, one of another", func(c *configuration) {
			c.Webhooks[0].ClientConfig.CABundle = nil
			c.Webhooks[0].ClientConfig.Service.Path = new("/elsewhere")
			c.Webhooks[3].Rules[0].Resources = []string{"pods", "services"}
		}, []string{"object.injector.pillion.dev rules", "rev.namespace.injector.pillion.dev caBundle", "rev.namespace.injector.pillion.dev clientConfig"}},
		{"failurePolicy", func(c *configuration) { c.Webhooks[0].FailurePolicy = new(admissionv1.Ignore) }, []string{"rev.namespace.injector.pillion.dev failurePolicy"}},
		{"matchPolicy", func(c *configuration) { c.Webhooks[0].MatchPolicy = new(admissionv1.Exact) }, []string{"rev.namespace.injector.pillion.dev matchPolicy"}},
		{"namespaceSelector", func(c *configuration) { c.Webhooks[0].NamespaceSelector = nil }, []string{"rev.namespace.injector.pillion.dev namespaceSelector"}},
		{"objectSelector", func(c *configuration) { c.Webhooks[0].ObjectSelector.MatchLabels = map[string]string{"a": "b"} }, []string{"rev.namespace.injector.pillion.dev objectSelector"}},
		{"sideEffects", func(c *configuration) { c.Webhooks[0].SideEffects = new(admissionv1.SideEffectClassNone) }, []string{"rev.namespace.injector.pillion.dev sideEffects"}},
		{"timeoutSeconds", func(c *configuration) { c.Webhooks[0].TimeoutSeconds = new(int32(30)) }, []string{"rev.namespace.injector.pillion.dev timeoutSeconds"}},
		{"reinvocationPolicy", func(c *configuration) { c.Webhooks[0].ReinvocationPolicy = nil }, []string{"rev.namespace.injector.pillion.dev reinvocationPolicy"}},
		{"admissionReviewVersions", func(c *configuration) { c.Webhooks[0].AdmissionReviewVersions = []string{"v1beta1"} }, []string{"rev.namespace.injector.pillion.dev admissionReviewVersions"}},
		{"matchConditions", func(c *configuration) { c.Webhooks[0].MatchConditions = nil }, []string{"rev.namespace.injector.pillion.dev matchConditions"}},
	} {
		want := rendered(t)
		live := want.DeepCopy()
		c.change(live)
		before := live.DeepCopy()
		var got []string
		for _, d := range compare(want, live) {
			got = append(got, d.entry+" "+d.field)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
		if fmt.Sprint(before) != fmt.Sprint(live) {
			t.Errorf("%s: compare changed its argument, which is the informer's", c.name)
		}
	}
}

func TestBlame(t *testing.T) {
	entry := func(manager string, operation metav1.ManagedFieldsOperationType, seconds int, fields string) metav1.ManagedFieldsEntry {
		at := metav1.NewTime(time.Unix(int64(seconds), 0))
		return metav1.ManagedFieldsEntry{Manager: manager, Operation: operation, Time: &at, FieldsV1: metav1.NewFieldsV1(fields)}
	}
	const e = `k:{\"name\":\"a.injector.pillion.dev\"}`
	ours := entry("pillion-injector/default", metav1.ManagedFieldsOperationApply, 9, `{"f:webhooks":{"`+e+`":{".":{},"f:failurePolicy":{}}}}`)
	editor := entry("kubectl-edit", metav1.ManagedFieldsOperationUpdate, 5, `{"f:webhooks":{"`+e+`":{"f:failurePolicy":{}}}}`)
	chart := entry("helm", metav1.ManagedFieldsOperationApply, 7, `{"f:webhooks":{"`+e+`":{"f:namespaceSelector":{},"f:clientConfig":{"f:caBundle":{}}}}}`)
	for _, c := range []struct {
		name   string
		fields []metav1.ManagedFieldsEntry
		drift  drift
		want   string
		caught bool
	}{
		{"holder", []metav1.ManagedFieldsEntry{ours, editor, chart}, drift{"a.injector.pillion.dev", "failurePolicy"}, "kubectl-edit", true},
		{"inner field", []metav1.ManagedFieldsEntry{ours, editor, chart}, drift{"a.injector.pillion.dev", "caBundle"}, "helm", true},
		{"atomic field", []metav1.ManagedFieldsEntry{ours, editor, chart}, drift{"a.injector.pillion.dev", "namespaceSelector"}, "helm", true},
		{"removed by the last writer", []metav1.ManagedFieldsEntry{ours, editor, chart}, drift{"b.injector.pillion.dev", "entry"}, "helm", false},
		{"only we ever wrote", []metav1.ManagedFieldsEntry{ours}, drift{"a.injector.pillion.dev", "failurePolicy"}, "unknown", false},
		{"unreadable", []metav1.ManagedFieldsEntry{entry("x", metav1.ManagedFieldsOperationUpdate, 1, `garbage`)}, drift{"a.injector.pillion.dev", "rules"}, "x", false},
	} {
		got, caught := blame(c.fields, c.drift)
		if got != c.want || caught != c.caught {
			t.Errorf("%s: %q, %t; want %q, %t", c.name, got, caught, c.want, c.caught)
		}
	}
}

func TestLimiter(t *testing.T) {
	l, now := newLimiter(), time.Unix(0, 0)
	if l.wait("c", now) != 0 {
		t.Error("the first repair has to wait")
	}
	for n := range repairsPerMinute {
		if w := l.wait("c", now); w != 0 {
			t.Fatalf("repair %d waits %s", n+1, w)
		}
		l.repaired("c", now)
		now = now.Add(time.Second)
	}
	if !l.contested("c", now) || l.contested("other", now) {
		t.Error("contested is said of the wrong object")
	}
	for range 3 { // from here on one a minute, however long it lasts
		w := l.wait("c", now)
		if w < 58*time.Second || w > time.Minute {
			t.Fatalf("waits %s", w)
		}
		now = now.Add(w)
		if l.wait("c", now) != 0 {
			t.Fatal("waits more than a minute")
		}
		l.repaired("c", now)
		now = now.Add(time.Second)
	}
	now = now.Add(2 * time.Minute)
	if l.contested("c", now) || l.wait("c", now) != 0 {
		t.Error("a quiet minute didn't end it")
	}
	if len(l.repairs) != 0 {
		t.Error("it remembers for ever")
	}
}

func TestRepairsAreASecondApart(t *testing.T) {
	l, now := newLimiter(), time.Unix(0, 0)
	l.repaired("c", now)
	if w := l.wait("c", now.Add(300*time.Millisecond)); w != 700*time.Millisecond {
		t.Errorf("waits %s", w)
	}
}

func TestBundlesWipedEachSecondAreRepairedEachTime(t *testing.T) {
	l, now := newLimiter(), time.Unix(0, 0)
	for i := range 2 * repairsPerMinute {
		if w := l.waitForBundle("c", now); w != 0 {
			t.Fatalf("repair %d waits %s", i, w)
		}
		l.repaired("c", now)
		now = now.Add(repairSpacing - 100*time.Millisecond) // the one before took that long
	}
	if !l.contested("c", now) {
		t.Error("nobody is told")
	}
}
