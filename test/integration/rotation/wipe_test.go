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

// TestBundleIsWiped by somebody else each second. Creations between a wipe and its repair fail; what counts is how long
// that is.
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
		if d := w.repaired(changes.ResultChan(), ticker.C); d > 0 {
			wait = append(wait, d.Round(time.Millisecond))
			<-ticker.C
		}
	}
	w.finish()
	slices.Sort(wait)
	t.Logf("%d wipes, %d repaired within their second; in %v", wipes, len(wait), wait)
	t.Logf("%d of %d creations failed", len(w.traffic.refused)+len(w.traffic.lost), w.traffic.tried)
	const contest = 10 // repairs of other fields, after which there is one a minute
	if len(wait) <= contest {
		t.Errorf("only %d of %d wipes were repaired before the next one", len(wait), wipes)
	}
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

// repaired is how long it took from a wipe to its repair, both as a watch tells of them; 0 if it didn't happen in time.
func (w *world) repaired(changes <-chan watch.Event, end <-chan time.Time) time.Duration {
	var wiped time.Time
	for {
		select {
		case <-end:
			return 0
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
