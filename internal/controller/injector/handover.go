package injector

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// handOver ends our ownership of a configuration that we wrote in mode Managed, once another field manager owns all of
// it but the caBundle. Until then we give nothing up: a field nobody owns would be nobody's to change.
func (c *Controller) handOver(ctx context.Context, p *pass, known *admissionv1.MutatingWebhookConfiguration, w *webhookPass) error {
	if applied(known) < 0 {
		return nil
	}
	live := &admissionv1.MutatingWebhookConfiguration{} // the informer may be behind
	if err := c.Live.Get(ctx, client.ObjectKeyFromObject(known), live); err != nil {
		return fmt.Errorf("reading webhook configuration %s: %w", known.Name, err)
	}
	at := applied(live)
	if at < 0 {
		return nil
	}
	left, err := onlyOurs(live.ManagedFields, at)
	if err != nil {
		return fmt.Errorf("reading who owns what of webhook configuration %s: %w", live.Name, err)
	}
	if len(left) == 0 {
		c.Log.Info("webhook configuration handed over: only its caBundle is ours now", "configuration", live.Name)
		return c.patch(ctx, live, release(live, at))
	}
	p.lookAgainIn(5 * time.Second)
	w.say(reasonHandover, "%s: webhook.mode is Field, but only we own %s; apply what `pillion webhooks render` prints (kubectl apply --server-side)",
		live.Name, some(left))
	return nil
}

// applied is the index of what we own of a configuration from mode Managed; -1: nothing.
func applied(live *admissionv1.MutatingWebhookConfiguration) int {
	return slices.IndexFunc(live.ManagedFields, func(m metav1.ManagedFieldsEntry) bool {
		return m.Manager == managerOf(live.Name) && m.Operation == metav1.ManagedFieldsOperationApply
	})
}

// onlyOurs lists the fields that no other manager has, but those that are ours to keep or go with our ownership.
func onlyOurs(managed []metav1.ManagedFieldsEntry, at int) ([]string, error) {
	ours, err := fields(managed[at])
	if err != nil {
		return nil, err
	}
	for i := range managed {
		if strings.HasPrefix(managed[i].Manager, managerPrefix) {
			continue
		}
		theirs, err := fields(managed[i])
		if err != nil {
			return nil, err
		}
		ours = ours.Difference(theirs)
	}
	var left []string
	ours.Leaves().Iterate(func(p fieldpath.Path) {
		text := strings.TrimPrefix(p.String(), ".")
		if !strings.HasSuffix(text, "."+fieldBundle) && !strings.HasPrefix(text, "metadata.ownerReferences") {
			left = append(left, text)
		}
	})
	return left, nil
}

func fields(m metav1.ManagedFieldsEntry) (*fieldpath.Set, error) {
	set := &fieldpath.Set{}
	if m.FieldsV1 == nil {
		return set, nil
	}
	return set, set.FromJSON(bytes.NewReader(m.FieldsV1.GetRawBytes()))
}

// release removes our ownership and nothing else, and the Injector as the owner: who deletes it would delete what the
// chart made.
func release(live *admissionv1.MutatingWebhookConfiguration, at int) []operation {
	patch := []operation{
		{"test", "/metadata/resourceVersion", live.ResourceVersion},
		{"remove", fmt.Sprintf("/metadata/managedFields/%d", at), nil},
	}
	for i := len(live.OwnerReferences) - 1; i >= 0; i-- { // from the end: what is before keeps its index
		if ofInjector(live.OwnerReferences[i]) {
			patch = append(patch, operation{"remove", fmt.Sprintf("/metadata/ownerReferences/%d", i), nil})
		}
	}
	return patch
}

// some names the first of many.
func some(names []string) string {
	const most = 3
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}
