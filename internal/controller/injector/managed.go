package injector

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pillion-mesh/pillion/internal/controller/degrade"
	"github.com/pillion-mesh/pillion/internal/inject"
)

// keepManaged keeps a whole webhook configuration as rendered (webhook.mode Managed).
func (c *Controller) keepManaged(ctx context.Context, p *pass, want *admissionv1.MutatingWebhookConfiguration, w *webhookPass) error {
	want.OwnerReferences = []metav1.OwnerReference{ownerReference(p.inj)}
	live, differs, err := c.difference(ctx, p.compiled.InEffect, want)
	if err != nil {
		return err
	}
	w.degraded = degrade.Degraded(live)
	mark := digest(want)
	if w.inSync = len(differs) == 0; !w.inSync {
		w.inSync, err = c.put(ctx, p, change{want, live, differs, mark, func(ctx context.Context) error { return c.write(ctx, want) }}, w)
	}
	if w.inSync {
		c.applied[want.Name] = mark
	}
	return err
}

// write applies and, because an apply removes nothing that others added, replaces what still differs.
func (c *Controller) write(ctx context.Context, want *admissionv1.MutatingWebhookConfiguration) error {
	manager := managerOf(want.Name)
	got := want.DeepCopy()
	if err := apply(ctx, c.Client, got, manager); err != nil {
		return fmt.Errorf("applying webhook configuration %s: %w", want.Name, err)
	}
	if len(compare(want, got)) == 0 {
		return nil
	}
	got.Webhooks = want.DeepCopy().Webhooks
	if err := c.Client.Update(ctx, got, client.FieldOwner(manager)); err != nil {
		return fmt.Errorf("replacing webhook configuration %s: %w", want.Name, err)
	}
	return nil
}

// managerOf is the field manager of a webhook configuration: one for each name, so that a name that moves to another
// Injector has no second owner.
func managerOf(configuration string) string {
	return managerPrefix + strings.TrimPrefix(configuration, inject.ConfigurationPrefix)
}

// digest names a rendered configuration, caBundle included.
func digest(want *admissionv1.MutatingWebhookConfiguration) string {
	text, err := json.Marshal(want)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}
