package degrade

import (
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
)

// Annotation is "true" on webhook configurations whose failurePolicy is Ignore because no operator was ready.
const Annotation = "pillion.dev/degraded"

// Degraded says whether a webhook configuration is.
func Degraded(c *admissionv1.MutatingWebhookConfiguration) bool {
	return c.Annotations[Annotation] == "true"
}

// Applies says whether an Injector's failurePolicy may be changed: it asks for that, has something to lose, and its
// webhooks lead to the Service whose endpoints are watched.
func Applies(inj *v1alpha1.Injector, namespace, service string) bool {
	w := &inj.Spec.Webhook
	return inj.Spec.Degrade.Mode == v1alpha1.DegradeIgnore && w.Mode != v1alpha1.WebhookField &&
		w.FailurePolicy != string(admissionv1.Ignore) && leads(w, namespace, service)
}

func leads(w *v1alpha1.Webhook, namespace, service string) bool {
	return w.URL == "" && (w.Service == nil || w.Service.Namespace == namespace && w.Service.Name == service)
}

// Reasons of the condition Degraded.
const (
	reasonNoEndpoint = "NoReadyEndpoint"
	reasonReady      = "Ready"
	reasonNever      = "Never"
	reasonNotWatched = "NotWatched"
)

// Condition is Degraded of an Injector.
func Condition(inj *v1alpha1.Injector, namespace, service string, degraded bool) metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.ConditionDegraded, Status: metav1.ConditionFalse, Reason: reasonReady, ObservedGeneration: inj.Generation}
	switch {
	case degraded:
		c.Status, c.Reason = metav1.ConditionTrue, reasonNoEndpoint
		c.Message = "failurePolicy is Ignore, so pods are created without sidecars, until an operator has been ready for a while"
	case inj.Spec.Degrade.Mode != v1alpha1.DegradeIgnore:
		c.Reason = reasonNever
	case !leads(&inj.Spec.Webhook, namespace, service):
		c.Reason = reasonNotWatched
		c.Message = "webhook.url or webhook.service leads elsewhere than to the Service " + namespace + "/" + service +
			", whose endpoints are watched: failurePolicy stays as it is"
	}
	return c
}

// spell is since when there is, or isn't, a ready endpoint.
type spell struct {
	known bool
	ready bool
	since time.Time
}

func (s *spell) see(ready bool, now time.Time) {
	if !s.known || s.ready != ready {
		*s = spell{known: true, ready: ready, since: now}
	}
}

// wanted says whether an Injector is to be degraded, which depends on whether it was.
func (c *Controller) wanted(inj *v1alpha1.Injector, was bool, now time.Time) bool {
	if !Applies(inj, c.Namespace, c.Service) {
		return false
	}
	lasts := now.Sub(c.endpoints.since)
	if was {
		return !c.endpoints.ready || lasts < inj.Spec.Degrade.RestoreAfter.Duration
	}
	return !c.endpoints.ready && lasts >= inj.Spec.Degrade.After.Duration
}
