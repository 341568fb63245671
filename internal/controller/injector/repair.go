package injector

import (
	"context"
	"fmt"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/pillion-mesh/pillion/internal/controller/events"
)

// change is a write of a webhook configuration that isn't as wanted.
type change struct {
	want, live *admissionv1.MutatingWebhookConfiguration
	differs    []drift
	mark       string // of what is wanted
	write      func(context.Context) error
}

// put writes, within the limits if somebody else changed it, and says whether it did.
func (c *Controller) put(ctx context.Context, p *pass, ch change, w *webhookPass) (bool, error) {
	now := c.Now()
	culprit, caught := blame(ch.live.ManagedFields, ch.differs[0])
	repair := caught || c.isRepair(p, ch)
	if repair {
		wait, often := c.limiter.wait(ch.want.Name, now), "once a minute"
		if _, rest := divideBundle(ch.differs); len(rest) == 0 {
			wait, often = c.limiter.waitForBundle(ch.want.Name, now), "each time"
		}
		if wait > 0 {
			p.lookAgainIn(wait)
			if c.limiter.contested(ch.want.Name, now) {
				w.say(reasonContested, "%s: %s keeps changing %s; it is put back %s", ch.want.Name, culprit, describe(ch.differs), often)
			}
			return false, nil
		}
	}
	if err := ch.write(ctx); err != nil {
		return false, err
	}
	c.Log.Info("webhook configuration written", "configuration", ch.want.Name, "repair", repair, "fields", describe(ch.differs), "manager", culprit)
	if repair {
		c.limiter.repaired(ch.want.Name, now)
		c.tell(p, ch.want.Name, ch.differs, culprit)
	}
	return true, nil
}

// isRepair tells somebody else's change from our own news where no other manager holds the field: what we want is what
// was there last time. A change of the Injector or of the caBundle is no repair.
func (c *Controller) isRepair(p *pass, ch change) bool {
	if before := c.applied[ch.want.Name]; before != "" {
		return before == ch.mark
	}
	for _, w := range p.inj.Status.Webhooks { // from before this process led
		if w.Name == ch.want.Name && w.InSync {
			return p.inj.Status.ObservedGeneration == p.inj.Generation
		}
	}
	return false
}

// tell writes the Event and the metric of a repair.
func (c *Controller) tell(p *pass, configuration string, differs []drift, culprit string) {
	reason := "BundleRepaired"
	for _, d := range differs {
		c.metrics.repairs.WithLabelValues(configuration, d.field).Inc()
		if d.field != fieldBundle {
			reason = "WebhookRepaired"
		}
	}
	message := fmt.Sprintf("%s: put back %s, changed by %s", configuration, describe(differs), culprit)
	if differs[0].field == fieldObject {
		message = configuration + ": made again; somebody had deleted it"
	}
	c.Record(events.Event{Object: reference(p.inj.Name, p.inj.UID), Type: corev1.EventTypeWarning, Reason: reason, Message: message, Always: true})
}
