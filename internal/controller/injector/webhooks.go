package injector

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/controller/degrade"
	"github.com/pillion-mesh/pillion/internal/inject"
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
		w, err := c.keep(ctx, p, &want)
		c.measure(w)
		p.webhooks = append(p.webhooks, w)
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

// webhookPass is what became of one webhook configuration.
type webhookPass struct {
	name      string
	mode      v1alpha1.WebhookMode
	entries   []string
	inSync    bool
	reason    string // what the user should know; "" is nothing
	why       string
	degraded  bool
	untrusted error
}

// say keeps the first reason: it explains the others.
func (w *webhookPass) say(reason, format string, args ...any) {
	if w.reason == "" {
		w.reason, w.why = reason, fmt.Sprintf(format, args...)
	}
}

// allowDegraded makes failurePolicy of want what it is while no operator is ready, if that is so: see package degrade.
func allowDegraded(inj *v1alpha1.Injector, want, live *admissionv1.MutatingWebhookConfiguration, op inject.Operator) {
	policy := admissionv1.FailurePolicyType(inj.Spec.Webhook.FailurePolicy)
	if degrade.Degraded(live) && degrade.Applies(inj, op.Namespace, op.Service) {
		policy = admissionv1.Ignore
	}
	for i := range want.Webhooks {
		want.Webhooks[i].FailurePolicy = &policy
	}
}

// keep brings one configuration in order, as far as it is ours.
func (c *Controller) keep(ctx context.Context, p *pass, want *admissionv1.MutatingWebhookConfiguration) (webhookPass, error) {
	w := webhookPass{name: want.Name, entries: entryNames(want), mode: p.compiled.InEffect.Spec.Webhook.Mode}
	step := c.keepManaged
	if w.mode == v1alpha1.WebhookField {
		step = c.keepField
	}
	err := step(ctx, p, want, &w)
	if err != nil && !apierrors.IsConflict(err) { // a conflict only asks for another look
		w.reason, w.why = reasonWriteFailed, err.Error()+"; trying again"
	}
	w.untrusted = c.Trusted(ctx, want.Name) // what can't be written most of all
	if w.untrusted != nil {
		p.lookAgainIn(time.Second) // the informer hasn't seen our write yet, or the leaf is about to change
	}
	if err != nil || !w.inSync {
		return w, err
	}
	if c.limiter.contested(want.Name, c.Now()) {
		w.say(reasonContested, "%s: somebody kept changing it within the last minute; it is as we want it now", want.Name)
		p.lookAgainIn(contestedSpacing)
	}
	return w, nil
}

// difference looks in the informer first. What it shows may be older than our own last write, so a difference counts
// only if a live read has it too.
func (c *Controller) difference(ctx context.Context, inj *v1alpha1.Injector, want *admissionv1.MutatingWebhookConfiguration) (*admissionv1.MutatingWebhookConfiguration, []drift, error) {
	known, differs, err := c.differenceIn(ctx, c.Client, inj, want)
	if err != nil || len(differs) == 0 {
		return known, nil, err
	}
	return c.differenceIn(ctx, c.Live, inj, want)
}

func (c *Controller) differenceIn(ctx context.Context, reader client.Reader, inj *v1alpha1.Injector, want *admissionv1.MutatingWebhookConfiguration) (*admissionv1.MutatingWebhookConfiguration, []drift, error) {
	live := &admissionv1.MutatingWebhookConfiguration{}
	err := reader.Get(ctx, client.ObjectKeyFromObject(want), live)
	if apierrors.IsNotFound(err) {
		return live, []drift{{field: fieldObject}}, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("reading webhook configuration %s: %w", want.Name, err)
	}
	allowDegraded(inj, want, live, c.Operator)
	if c.Compiler.Certificates().CABundle == v1alpha1.BundleExternal {
		leaveBundles(want, live)
	}
	return live, compare(want, live), nil
}

// leaveBundles makes each caBundle of want what is there: somebody else writes it. Only an empty one is ours to fill.
func leaveBundles(want, live *admissionv1.MutatingWebhookConfiguration) {
	there := map[string][]byte{}
	for _, w := range live.Webhooks {
		there[w.Name] = w.ClientConfig.CABundle
	}
	for i := range want.Webhooks {
		if bundle := there[want.Webhooks[i].Name]; len(bundle) > 0 {
			want.Webhooks[i].ClientConfig.CABundle = bundle
		}
	}
}

func (c *Controller) measure(w webhookPass) {
	value := 0.0
	if w.inSync {
		value = 1
	}
	c.metrics.inSync.WithLabelValues(w.name).Set(value)
	c.measured[w.name] = true
}

// forget ends the series of configurations whose names no Injector of ours has any more.
func (c *Controller) forget() {
	for name := range c.measured {
		if !c.Compiler.Claims(name) {
			c.metrics.inSync.DeleteLabelValues(name)
			c.metrics.repairs.DeletePartialMatch(map[string]string{"configuration": name})
			delete(c.measured, name)
		}
	}
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
