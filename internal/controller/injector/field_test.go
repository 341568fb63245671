package injector

import (
	"context"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject"
)

// TestFieldMode: of an object that isn't ours one field is written, in one patch; the rest is only told.
func TestFieldMode(t *testing.T) {
	ctx := context.Background()
	inj := made("default", "default", 1)
	inj.Spec.Webhook.Mode = v1alpha1.WebhookField
	w := newWorld(t, inj)
	wants := func(state, reason, words string) {
		t.Helper()
		w.must(w.reconcile("default"))
		if c := w.condition("default", v1alpha1.ConditionWebhooksReady); c.Reason != reason || !strings.Contains(c.Message, words) {
			t.Errorf("%s: %+v; want %s with %q", state, c, reason, words)
		}
	}
	wants("nobody made it", reasonMissing, "pillion-injector-default doesn't exist")
	chart := inject.Webhooks(inj, []string{"default"}, w.c.Operator, nil)[0]
	w.must(w.api.Create(ctx, &chart))
	wants("made by a chart", reasonApplied, "")
	for _, entry := range w.live().Webhooks {
		if string(entry.ClientConfig.CABundle) != "CA" {
			t.Errorf("caBundle of %s is %q", entry.Name, entry.ClientConfig.CABundle)
		}
	}
	version := w.live().ResourceVersion
	wants("nothing to do", reasonApplied, "")
	if now := w.live().ResourceVersion; now != version {
		t.Errorf("written again without a reason: version %s, then %s", version, now)
	}

	drifted := w.live()
	drifted.Webhooks[0].TimeoutSeconds = new(int32(29))
	drifted.Webhooks = append(drifted.Webhooks, admissionv1.MutatingWebhook{Name: "more.injector.pillion.dev"})
	w.must(w.api.Update(ctx, drifted))
	w.bundle = []byte("CA 2")
	wants("drifted", reasonDrift, "timeoutSeconds of rev.namespace.injector.pillion.dev")
	live := w.live()
	if *live.Webhooks[0].TimeoutSeconds != 29 || string(live.Webhooks[0].ClientConfig.CABundle) != "CA 2" || len(live.Webhooks[4].ClientConfig.CABundle) > 0 {
		t.Errorf("want the new caBundle in our entries and nothing else changed: %+v", live.Webhooks)
	}
	if status := w.get("default").Status.Webhooks[0]; status.InSync || status.Mode != v1alpha1.WebhookField {
		t.Errorf("status: %+v", status)
	}
	for _, e := range w.told {
		if strings.HasSuffix(e.Reason, "Repaired") {
			t.Errorf("a new caBundle is no repair: %+v", e)
		}
	}
}

func (w *world) live() *admissionv1.MutatingWebhookConfiguration {
	w.t.Helper()
	c, err := w.configuration("pillion-injector-default")
	w.must(err)
	return c
}

func TestOnlyOurs(t *testing.T) {
	owns := func(manager, text string) metav1.ManagedFieldsEntry {
		return metav1.ManagedFieldsEntry{Manager: manager, Operation: metav1.ManagedFieldsOperationApply, FieldsV1: metav1.NewFieldsV1(text)}
	}
	const entry = `{"f:metadata":{"f:labels":{"f:app":{}}%s},"f:webhooks":{"k:{\"name\":\"a\"}":{".":{},"f:name":{},"f:rules":{}%s}}}`
	with := func(metadata, webhook string) string {
		return strings.Replace(strings.Replace(entry, "%s", metadata, 1), "%s", webhook, 1)
	}
	ours := owns("pillion-injector/default", with(`,"f:ownerReferences":{"k:{\"uid\":\"u\"}":{}}`, `,"f:clientConfig":{"f:caBundle":{}}`))
	for _, row := range []struct {
		name   string
		others []metav1.ManagedFieldsEntry
		want   string
	}{
		{"nobody else", nil, "metadata.labels.app"},
		{"one who has all but caBundle", []metav1.ManagedFieldsEntry{owns("gitops", with("", ""))}, ""},
		{"two who have it together", []metav1.ManagedFieldsEntry{owns("a", `{"f:metadata":{"f:labels":{"f:app":{}}}}`),
			owns("b", `{"f:webhooks":{"k:{\"name\":\"a\"}":{".":{},"f:name":{},"f:rules":{}}}}`)}, ""},
		{"one who lacks a field", []metav1.ManagedFieldsEntry{owns("gitops", strings.Replace(with("", ""), `,"f:rules":{}`, "", 1))}, `rules`},
		{"ourselves under another operation", []metav1.ManagedFieldsEntry{owns("pillion-injector/default", with("", ""))}, "metadata.labels.app"},
	} {
		left, err := onlyOurs(append([]metav1.ManagedFieldsEntry{ours}, row.others...), 0)
		if err != nil || (row.want == "") != (len(left) == 0) || !strings.Contains(strings.Join(left, " "), row.want) {
			t.Errorf("%s: only ours is %q (%v), want %q", row.name, left, err, row.want)
		}
	}
}
