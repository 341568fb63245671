package injector

import (
	"context"
	"fmt"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject"
)

// findConflicts looks for other meshes' injectors that match pods of this Injector. They are never changed: who of two
// meshes is to go isn't ours to decide.
func (c *Controller) findConflicts(ctx context.Context, p *pass) error {
	if p.compiled.Program == nil || len(p.names) == 0 {
		return nil
	}
	var all admissionv1.MutatingWebhookConfigurationList
	if err := c.Client.List(ctx, &all); err != nil {
		return fmt.Errorf("listing webhook configurations: %w", err)
	}
	p.conflicts = inject.Conflicts(inject.Webhooks(p.compiled.InEffect, p.names, c.Operator, nil), all.Items)
	return nil
}

// maxToldConflicts bounds the condition's message; the rest are like the first.
const maxToldConflicts = 3

func (p *pass) conflicting() metav1.Condition {
	if len(p.conflicts) == 0 {
		return condition(v1alpha1.ConditionConflicts, false, reasonNone, "")
	}
	var told []string
	for i := range p.conflicts[:min(len(p.conflicts), maxToldConflicts)] {
		told = append(told, p.conflicts[i].Sentence())
	}
	if more := len(p.conflicts) - maxToldConflicts; more > 0 {
		told = append(told, fmt.Sprintf("%d more", more))
	}
	return condition(v1alpha1.ConditionConflicts, true, reasonForeignInjector, strings.Join(told, "; "))
}

// TrimConfiguration is the informer's transform: of somebody else's configuration only what decides which pods it
// matches, and whose it is.
func TrimConfiguration(object any) (any, error) {
	c, ok := object.(*admissionv1.MutatingWebhookConfiguration)
	if !ok || strings.HasPrefix(c.Name, inject.ConfigurationPrefix) || c.Labels[inject.LabelInjector] != "" {
		return object, nil
	}
	c.ManagedFields, c.Annotations = nil, nil
	for i := range c.Webhooks {
		c.Webhooks[i].ClientConfig.CABundle = nil
	}
	return object, nil
}
