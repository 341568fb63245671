package operator

import (
	"fmt"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"

	"github.com/pillion-mesh/pillion/internal/controller/events"
)

// tellRestarts says how often this process died and was started again by the one that supervises it: the kubelet sees
// nothing of that, RESTARTS stays as it is and every other counter begins at zero.
func (o Options) tellRestarts(record func(events.Event), metrics prometheus.Registerer, log logr.Logger) error {
	restarts := prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "pillion_operator_restarts_total",
		Help: "Times the operator's process died and was started again within this container."},
		func() float64 { return float64(o.Restarts) })
	if err := metrics.Register(restarts); err != nil {
		return fmt.Errorf("registering operator metrics: %w", err)
	}
	if o.Restarts == 0 {
		return nil
	}
	log.Info("operator restarted: the process before this one died", "restarts", o.Restarts, "last_end", o.LastEnd)
	record(events.Event{
		Object: corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: o.Namespace, Name: o.PodName, UID: uid(o.PodUID)},
		Type:   corev1.EventTypeWarning, Reason: "OperatorRestarted", Always: true,
		Message: fmt.Sprintf("the operator's process died (%s) and was started again, %d times so far in this container; "+
			"the container's log says why it died", o.LastEnd, o.Restarts),
	})
	return nil
}
