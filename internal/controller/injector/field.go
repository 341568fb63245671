package injector

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// fieldBundle is the one field that is ours in webhook.mode Field.
const fieldBundle = "caBundle"

// keepField keeps the caBundle of a webhook configuration that somebody else writes (webhook.mode Field), and says what
// else isn't as rendered. Server-side apply would make us a co-owner of each entry, which then outlives its removal from
// the chart without the fields it needs; so this is a JSON Patch.
func (c *Controller) keepField(ctx context.Context, p *pass, want *admissionv1.MutatingWebhookConfiguration, w *webhookPass) error {
	live, differs, err := c.difference(ctx, p.compiled.InEffect, want)
	switch {
	case err != nil:
		return err
	case len(differs) > 0 && differs[0].field == fieldObject:
		delete(c.applied, want.Name)
		w.say(reasonMissing, "%s doesn't exist, and webhook.mode is Field: apply what `pillion webhooks render` prints, or set mode: Managed", want.Name)
		return nil
	}
	bundle, rest := divideBundle(differs)
	mark := string(live.UID) + digest(bundleOnly(want))
	written := len(bundle) == 0
	if !written {
		written, err = c.put(ctx, p, change{want, live, bundle, mark, func(ctx context.Context) error { return c.patchBundle(ctx, want, live) }}, w)
	}
	if written {
		c.applied[want.Name] = mark
	}
	if err == nil {
		err = c.handOver(ctx, p, live, w)
	}
	if len(rest) > 0 {
		w.say(reasonDrift, "%s: %s is not as rendered; compare it with what `pillion webhooks render` prints", want.Name, describe(rest))
	}
	w.inSync = written && len(rest) == 0
	return err
}

// divideBundle tells what is ours to repair from what is only told. An entry more or less is never ours.
func divideBundle(differs []drift) (bundle, rest []drift) {
	for _, d := range differs {
		if d.field == fieldBundle {
			bundle = append(bundle, d)
		} else {
			rest = append(rest, d)
		}
	}
	return bundle, rest
}

func bundleOnly(want *admissionv1.MutatingWebhookConfiguration) *admissionv1.MutatingWebhookConfiguration {
	only := &admissionv1.MutatingWebhookConfiguration{}
	only.Name = want.Name
	for _, w := range want.Webhooks {
		only.Webhooks = append(only.Webhooks, admissionv1.MutatingWebhook{Name: w.Name,
			ClientConfig: admissionv1.WebhookClientConfig{CABundle: w.ClientConfig.CABundle}})
	}
	return only
}

// operation is one of a JSON Patch (RFC 6902).
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

// patchBundle writes the caBundle of our entries, all in one patch. It fails where live isn't what is there any more.
func (c *Controller) patchBundle(ctx context.Context, want, live *admissionv1.MutatingWebhookConfiguration) error {
	wanted := map[string][]byte{}
	for _, w := range want.Webhooks {
		wanted[w.Name] = w.ClientConfig.CABundle
	}
	var patch []operation
	for i, l := range live.Webhooks {
		bundle := wanted[l.Name]
		if len(bundle) == 0 || bytes.Equal(bundle, l.ClientConfig.CABundle) {
			continue
		}
		at := fmt.Sprintf("/webhooks/%d", i)
		patch = append(patch, operation{"test", at + "/name", l.Name}, operation{"add", at + "/clientConfig/caBundle", bundle})
	}
	return c.patch(ctx, live, patch)
}

func (c *Controller) patch(ctx context.Context, live *admissionv1.MutatingWebhookConfiguration, operations []operation) error {
	text, err := json.Marshal(operations)
	if err != nil {
		return fmt.Errorf("encoding a patch of webhook configuration %s: %w", live.Name, err)
	}
	err = c.Client.Patch(ctx, live.DeepCopy(), client.RawPatch(types.JSONPatchType, text), client.FieldOwner(managerOf(live.Name)))
	if err != nil {
		return fmt.Errorf("patching webhook configuration %s: %w", live.Name, err)
	}
	return nil
}
