package workload

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/controller/events"
	"github.com/pillion-mesh/pillion/internal/inject"
)

// Reasons of Events, on the pod's owner but the last, which is on the Injector.
const (
	EventMissing = "SidecarMissing"
	EventStale   = "SidecarStale"
	EventSkipped = "SidecarSkipped" // the webhook's reason: it tells of those it sees
	EventEvicted = "SidecarEvicted"
	EventDryRun  = "SidecarEvictionDryRun"
	EventBlocked = "SidecarEvictionBlocked"
	EventStopped = "SidecarEvictionStopped"
)

// Bounds of what is told: the queue of Events is admission's too.
const (
	tellAgain   = time.Hour // when API servers forget an Event, by default
	tellPerLook = 20
	maxTold     = 10_000
)

// tell makes Events of what was found: one an owner and reason in an hour, the rest in the looks to come.
func (c *Controller) tell(l *look) {
	for key, last := range c.told {
		if l.now.Sub(last) >= tellAgain {
			delete(c.told, key)
		}
	}
	left := tellPerLook
	for i := range l.findings {
		e := l.findings[i].event(l.view)
		key := e.Reason + "/" + string(e.Object.UID)
		if _, told := c.told[key]; told {
			continue
		}
		if left == 0 || len(c.told) >= maxTold {
			l.again = min(l.again, lookEvery)
			return
		}
		left--
		c.told[key] = l.now
		c.Record(e)
	}
}

// event is what there is to say of a finding, and what to do about it.
func (f *finding) event(v *view) events.Event {
	e := events.Event{Object: reference(f.pod), Type: corev1.EventTypeWarning, Reason: EventMissing}
	switch {
	case f.unmet:
		e.Type, e.Reason = corev1.EventTypeNormal, EventSkipped
		e.Message = fmt.Sprintf("%s: %s", f.answer.reason, f.answer.message)
	case f.state == stateStale:
		e.Type, e.Reason = corev1.EventTypeNormal, EventStale
		e.Message = fmt.Sprintf("pod %q has an old sidecar: its hash is %q, that of Injector %q %q; to renew it: %s",
			f.pod.Name, f.has, f.injector, v.set.Program(f.injector).Hash(), remedy(f.pod))
	case f.answer.outcome == inject.OutcomeDeny:
		e.Message = fmt.Sprintf("pod %q has no sidecar, and a new pod like it would be denied: %s", f.pod.Name, f.answer.message)
	default:
		e.Message = fmt.Sprintf("pod %q has no sidecar, and would get one if it were made now: %s; to have that: %s",
			f.pod.Name, f.answer.message, remedy(f.pod))
	}
	return e
}

// ofInjector is an Event on it.
func ofInjector(inj *v1alpha1.Injector, reason, message string) events.Event {
	return events.Event{Type: corev1.EventTypeWarning, Reason: reason, Message: message, Always: true,
		Object: corev1.ObjectReference{APIVersion: v1alpha1.GroupVersion.String(), Kind: "Injector", Name: inj.Name, UID: inj.UID}}
}
