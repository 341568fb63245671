package workload

import (
	"context"
	"fmt"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject"
)

// needed are the conditions without which a pod that is evicted might come back without a sidecar.
var needed = []string{v1alpha1.ConditionTemplatesReady, v1alpha1.ConditionWebhooksReady, v1alpha1.ConditionCertificatesReady}

// heldBack says why nothing may be evicted, whatever there is; "" if nothing is in the way.
func (c *Controller) heldBack(ctx context.Context, t *turn) (string, error) {
	if t.inj.Spec.Workload.Evict == v1alpha1.EvictNever {
		return "spec.workload.evict is Never", nil
	}
	if c.Hold > 0 && t.now.Sub(c.began) < c.Hold {
		return fmt.Sprintf("this replica leads for less than %s", c.Hold), nil
	}
	if why := unmet(t.inj); why != "" {
		return why, nil
	}
	if t.pace.stopped(t.now) {
		return "too many replacements came back without a sidecar", nil
	}
	open, err := inWindow(t.inj.Spec.Workload.MaintenanceWindows, t.now)
	if err != nil {
		err = fmt.Errorf("injector %q: %w", t.inj.Name, err)
	}
	if !open {
		return "outside the maintenance windows", err
	}
	return c.unanswered(ctx, t)
}

// unmet is the first condition of an Injector that isn't as it has to be.
func unmet(inj *v1alpha1.Injector) string {
	for _, kind := range needed {
		condition := meta.FindStatusCondition(inj.Status.Conditions, kind)
		if condition == nil || condition.Status != metav1.ConditionTrue || condition.ObservedGeneration != inj.Generation {
			return kind + " isn't True"
		}
	}
	if meta.IsStatusConditionTrue(inj.Status.Conditions, v1alpha1.ConditionDegraded) {
		return v1alpha1.ConditionDegraded + " is True"
	}
	return ""
}

// unanswered says so if nobody would answer the webhook calls: conditions notice that later, or never.
func (c *Controller) unanswered(ctx context.Context, t *turn) (string, error) {
	at := t.service()
	if at == nil {
		return "", nil
	}
	var list discoveryv1.EndpointSliceList
	err := c.Client.List(ctx, &list, client.InNamespace(at.Namespace), client.MatchingLabels{discoveryv1.LabelServiceName: at.Name})
	why := fmt.Sprintf("Service %s/%s has no ready endpoint", at.Namespace, at.Name)
	if err != nil {
		return why, fmt.Errorf("listing the endpoints of Service %s/%s: %w", at.Namespace, at.Name, err)
	}
	for i := range list.Items {
		for _, endpoint := range list.Items[i].Endpoints {
			if ready := endpoint.Conditions.Ready; ready == nil || *ready { // unknown is ready, says the API
				return "", nil
			}
		}
	}
	return why, nil
}

// service is the operator's own, if that is where the Injector's webhooks lead; others aren't watched.
func (t *turn) service() *admissionv1.ServiceReference {
	if t.inj.Spec.Webhook.URL != "" || t.inj.Spec.Webhook.Service != nil {
		return nil
	}
	for _, configuration := range t.view.set.Webhooks() {
		if configuration.Labels[inject.LabelInjector] == t.inj.Name && len(configuration.Webhooks) > 0 {
			return configuration.Webhooks[0].ClientConfig.Service
		}
	}
	return nil
}
