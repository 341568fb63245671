package main

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// counters are what two sidecars counted.
type counters struct{ outbound, inbound float64 }

// The frontend's proxy is the source of a connection, the backend's its destination.
const connectionsOpened = "istio_tcp_connections_opened_total"

func (d *demo) count(ctx context.Context, frontend, backend *corev1.Pod) (counters, error) {
	source, err := d.kubectl.ProxyMetrics(ctx, frontend.Namespace, frontend.Name)
	if err != nil {
		return counters{}, err
	}
	destination, err := d.kubectl.ProxyMetrics(ctx, backend.Namespace, backend.Name)
	if err != nil {
		return counters{}, err
	}
	return counters{
		outbound: source.Sum(connectionsOpened, map[string]string{"reporter": "source"}),
		inbound:  destination.Sum(connectionsOpened, map[string]string{"reporter": "destination"}),
	}, nil
}

// countReaching counts until all requests are there, for twenty seconds at most: a counter may be a moment behind.
func (d *demo) countReaching(ctx context.Context, before counters, frontend, backend *corev1.Pod) (counters, error) {
	deadline := time.Now().Add(20 * time.Second)
	for {
		now, err := d.count(ctx, frontend, backend)
		if err != nil || min(now.outbound-before.outbound, now.inbound-before.inbound) >= requests || time.Now().After(deadline) {
			return now, err
		}
		select {
		case <-ctx.Done():
			return now, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// compare shows the counters and fails unless every request passed both sidecars.
func (d *demo) compare(before, after counters) error {
	d.say("%s, read from each proxy's port 15090:", connectionsOpened)
	d.say("    frontend's sidecar, reporter=source:      %3.0f → %3.0f  (+%.0f)", before.outbound, after.outbound, after.outbound-before.outbound)
	d.say("    backend's sidecar,  reporter=destination: %3.0f → %3.0f  (+%.0f)", before.inbound, after.inbound, after.inbound-before.inbound)
	if after.outbound-before.outbound < requests || after.inbound-before.inbound < requests {
		return fmt.Errorf("%d requests were sent, but not all went through both sidecars", requests)
	}
	return nil
}
