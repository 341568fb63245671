package injector

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pillion-mesh/pillion/internal/controller/events"
	"github.com/pillion-mesh/pillion/internal/inject"
	"github.com/pillion-mesh/pillion/internal/istio"
)

const entrySuffix = ".injector.pillion.dev" // of entry names; the status leaves it out

// applyWebhooks writes the webhook configurations of the names this Injector owns.
func (c *Controller) applyWebhooks(ctx context.Context, p *pass) error {
	bundle := c.Bundle()
	switch {
	case p.compiled.Program == nil && p.compiled.Pending != nil:
		p.pending = p.compiled.Pending.Error() + "; webhooks that exist are left as they are"
	case p.compiled.Program == nil:
		p.pending = "no version of this Injector ever compiled; webhooks that exist are left as they are"
	case len(p.names) == 0:
		p.pending = "it owns no name"
	case len(bundle) == 0: // an empty caBundle means the API server's own roots: no call would succeed
		p.pending = "the serving certificate isn't ready"
		p.lookAgainIn(time.Second)
	}
	if p.pending != "" {
		return nil
	}
	var faults []error
	for _, want := range inject.Webhooks(p.compiled.InEffect, p.names, c.Operator, bundle) {
		want.OwnerReferences = []metav1.OwnerReference{ownerReference(p.inj)}
		w, err := c.applyOne(ctx, p, &want)
		c.measure(w)
		p.webhooks = append(p.webhooks, w)
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

// applyOne writes one configuration if it isn't as wanted.
func (c *Controller) applyOne(ctx context.Context, p *pass, want *admissionv1.MutatingWebhookConfiguration) (webhookPass, error) {
	w := webhookPass{name: want.Name, entries: entryNames(want)}
	live, differs, err := c.difference(ctx, want)
	if err != nil {
		return w, err
	}
	if len(differs) > 0 {
		if w, err = c.put(ctx, p, want, live, differs, w); err != nil || !w.inSync {
			return w, err
		}
	}
	w.inSync = true
	c.applied[want.Name] = digest(want)
	w.untrusted = c.Trusted(ctx, want.Name)
	if w.untrusted != nil {
		p.lookAgainIn(time.Second) // the informer hasn't seen our write yet, or the leaf is about to change
	}
	if c.limiter.contested(want.Name, c.Now()) {
		w.contested = want.Name + ": somebody kept changing it within the last minute; it is as we want it now"
		p.lookAgainIn(contestedSpacing)
	}
	return w, nil
}

// difference looks in the informer first. What it shows may be older than our own last write, so a difference counts
// only if a live read has it too.
func (c *Controller) difference(ctx context.Context, want *admissionv1.MutatingWebhookConfiguration) (*admissionv1.MutatingWebhookConfiguration, []drift, error) {
	known, differs, err := differenceIn(ctx, c.Client, want)
	if err != nil || len(differs) == 0 {
		return known, nil, err
	}
	return differenceIn(ctx, c.Live, want)
}

func differenceIn(ctx context.Context, reader client.Reader, want *admissionv1.MutatingWebhookConfiguration) (*admissionv1.MutatingWebhookConfiguration, []drift, error) {
	live := &admissionv1.MutatingWebhookConfiguration{}
	err := reader.Get(ctx, client.ObjectKeyFromObject(want), live)
	if apierrors.IsNotFound(err) {
		return live, []drift{{field: fieldObject}}, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("reading webhook configuration %s: %w", want.Name, err)
	}
	return live, compare(want, live), nil
}

// put writes a configuration, within the limits if somebody else changed it.
func (c *Controller) put(ctx context.Context, p *pass, want, live *admissionv1.MutatingWebhookConfiguration, differs []drift, w webhookPass) (webhookPass, error) {
	now := c.Now()
	culprit, caught := blame(live.ManagedFields, differs[0])
	repair := caught || c.isRepair(p, want)
	if repair {
		if wait := c.limiter.wait(want.Name, now); wait > 0 {
			p.lookAgainIn(wait)
			if c.limiter.contested(want.Name, now) {
				w.contested = fmt.Sprintf("%s: %s keeps changing %s; it is put back once a minute", want.Name, culprit, describe(differs))
			}
			return w, nil
		}
	}
	if err := c.write(ctx, want); err != nil {
		return w, err
	}
	w.inSync = true
	c.Log.Info("webhook configuration written", "configuration", want.Name, "repair", repair, "fields", describe(differs), "manager", culprit)
	if repair {
		c.limiter.repaired(want.Name, now)
		c.tell(p, want.Name, differs, culprit)
	}
	return w, nil
}

// isRepair tells somebody else's change from our own news where no other manager holds the field: what we want is what
// was there last time. A change of the Injector or of the caBundle is no repair.
func (c *Controller) isRepair(p *pass, want *admissionv1.MutatingWebhookConfiguration) bool {
	if before := c.applied[want.Name]; before != "" {
		return before == digest(want)
	}
	for _, w := range p.inj.Status.Webhooks { // from before this process led
		if w.Name == want.Name && w.InSync {
			return p.inj.Status.ObservedGeneration == p.inj.Generation
		}
	}
	return false
}

// write applies and, because an apply removes nothing that others added, replaces what still differs.
func (c *Controller) write(ctx context.Context, want *admissionv1.MutatingWebhookConfiguration) error {
	manager := managerPrefix + strings.TrimPrefix(want.Name, inject.ConfigurationPrefix)
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

// tell writes the Event and the metric of a repair.
func (c *Controller) tell(p *pass, configuration string, differs []drift, culprit string) {
	reason := "BundleRepaired"
	for _, d := range differs {
		c.metrics.repairs.WithLabelValues(configuration, d.field).Inc()
		if d.field != "caBundle" {
			reason = "WebhookRepaired"
		}
	}
	message := fmt.Sprintf("%s: put back %s, changed by %s", configuration, describe(differs), culprit)
	if differs[0].field == fieldObject {
		message = configuration + ": made again; somebody had deleted it"
	}
	c.Record(events.Event{Object: reference(p.inj.Name, p.inj.UID), Type: corev1.EventTypeWarning, Reason: reason, Message: message, Always: true})
}

// removeUnclaimed deletes configurations of an Injector whose names nobody owns. Those of an Injector that exists but
// never compiled stay: they may be all that is left of a good version.
func (c *Controller) removeUnclaimed(ctx context.Context, injector string, state *State) error {
	if one := state.Injectors[injector]; one != nil && one.Program == nil {
		return nil
	}
	var list admissionv1.MutatingWebhookConfigurationList
	if err := c.Client.List(ctx, &list, client.MatchingLabels{inject.LabelInjector: injector}); err != nil {
		return fmt.Errorf("listing webhook configurations of Injector %q: %w", injector, err)
	}
	var faults []error
	for i := range list.Items {
		live := &list.Items[i]
		name, ours := strings.CutPrefix(live.Name, inject.ConfigurationPrefix)
		if !ours || !c.Revisions.Serve(live.Labels[istio.LabelRevision]) || state.Owned[name] != "" {
			continue // its owner's next apply moves it
		}
		faults = append(faults, c.remove(ctx, live))
	}
	return errors.Join(faults...)
}

func (c *Controller) remove(ctx context.Context, live *admissionv1.MutatingWebhookConfiguration) error {
	err := c.Client.Delete(ctx, live, client.Preconditions{UID: &live.UID, ResourceVersion: &live.ResourceVersion})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("deleting webhook configuration %s, whose name nobody claims: %w", live.Name, err)
	}
	delete(c.applied, live.Name)
	c.metrics.inSync.DeleteLabelValues(live.Name)
	c.Log.Info("webhook configuration deleted: nobody claims its name", "configuration", live.Name)
	return nil
}

func (c *Controller) measure(w webhookPass) {
	value := 0.0
	if w.inSync {
		value = 1
	}
	c.metrics.inSync.WithLabelValues(w.name).Set(value)
}

func describe(differs []drift) string {
	var parts []string
	for _, d := range differs {
		if d.entry == "" {
			parts = append(parts, d.field)
			continue
		}
		parts = append(parts, d.field+" of "+d.entry)
	}
	const most = 4
	if len(parts) > most {
		parts = append(parts[:most], fmt.Sprintf("%d more", len(parts)-most))
	}
	return strings.Join(parts, ", ")
}

func entryNames(want *admissionv1.MutatingWebhookConfiguration) []string {
	var names []string
	for _, w := range want.Webhooks {
		names = append(names, strings.TrimSuffix(w.Name, entrySuffix))
	}
	return names
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
