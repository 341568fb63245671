package injector

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject"
	"github.com/pillion-mesh/pillion/internal/istio"
)

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
		if !ours || !owned(live) || !c.Revisions.Serve(live.Labels[istio.LabelRevision]) || state.Owned[name] != "" {
			continue // its owner's next apply moves it
		}
		faults = append(faults, c.remove(ctx, live))
	}
	return errors.Join(faults...)
}

// Claims says whether an Injector we serve owns the name of a webhook configuration.
func (c *Compiler) Claims(configuration string) bool {
	name, ours := strings.CutPrefix(configuration, inject.ConfigurationPrefix)
	s := c.state.Load()
	return ours && s != nil && s.Injectors[s.Owned[name]] != nil
}

// owned says whether a webhook configuration is ours to delete: what a chart made (webhook.mode Field) has no owner.
func owned(live *admissionv1.MutatingWebhookConfiguration) bool {
	return slices.ContainsFunc(live.OwnerReferences, ofInjector)
}

func ofInjector(o metav1.OwnerReference) bool {
	return o.Kind == "Injector" && o.APIVersion == v1alpha1.GroupVersion.String()
}

func (c *Controller) remove(ctx context.Context, live *admissionv1.MutatingWebhookConfiguration) error {
	err := c.Client.Delete(ctx, live, client.Preconditions{UID: &live.UID, ResourceVersion: &live.ResourceVersion})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("deleting webhook configuration %s, whose name nobody claims: %w", live.Name, err)
	}
	delete(c.applied, live.Name)
	c.Log.Info("webhook configuration deleted: nobody claims its name", "configuration", live.Name)
	return nil
}
