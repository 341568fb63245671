package rotation

import (
	"context"
	"slices"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// TestBundleIsWiped by somebody else each second, or as soon as it is put right where that takes longer. Creations
// between a wipe and its repair fail; what counts is how long that is, and that no number of wipes makes us give up.
func TestBundleIsWiped(t *testing.T) {
	w := begin(t, 3)
	live, err := w.Configuration(configuration)
	must(t, err)
	changes, err := w.Client.Watch(t.Context(), &admissionv1.MutatingWebhookConfigurationList{}, &client.ListOptions{
		FieldSelector: fields.OneTermEqualSelector("metadata.name", configuration), Raw: &metav1.ListOptions{ResourceVersion: live.ResourceVersion}})
	must(t, err)
	defer changes.Stop()
	const wipes = 30
	var wait []time.Duration
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for range wipes {
		w.Eventually("somebody wipes the bundles", func() error { return w.wipe(t.Context()) })
		wait = append(wait, w.repaired(changes.ResultChan()).Round(time.Millisecond))
		<-ticker.C
	}
	w.finish()
	slices.Sort(wait)
	t.Logf("%d wipes repaired in %v", wipes, wait)
	t.Logf("%d of %d creations failed", len(w.traffic.refused)+len(w.traffic.lost), w.traffic.tried)
}

// wipe empties every caBundle, as a chart's full replace does.
func (w *world) wipe(ctx context.Context) error {
	c, err := w.Configuration(configuration)
	if err != nil {
		return err
	}
	for i := range c.Webhooks {
		c.Webhooks[i].ClientConfig.CABundle = nil
	}
	return w.Client.Update(ctx, c, client.FieldOwner("gardener"))
}

// repaired is how long it took from a wipe to its repair, both as a watch tells of them. Other fields, contested as
// often, would be put back once a minute.
func (w *world) repaired(changes <-chan watch.Event) time.Duration {
	w.T.Helper()
	const contested = 55 * time.Second
	end := time.After(contested)
	var wiped time.Time
	for {
		select {
		case <-end:
			w.T.Fatalf("a wipe wasn't repaired within %s", contested)
		case event, open := <-changes:
			c, ok := event.Object.(*admissionv1.MutatingWebhookConfiguration)
			if !open || !ok {
				w.T.Fatalf("the watch ended: %+v", event)
			}
			empty := slices.ContainsFunc(c.Webhooks, func(e admissionv1.MutatingWebhook) bool { return len(e.ClientConfig.CABundle) == 0 })
			switch {
			case empty:
				wiped = time.Now()
			case !wiped.IsZero():
				return time.Since(wiped)
			}
		}
	}
}
