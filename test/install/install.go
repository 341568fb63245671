package install

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Overlay is the kustomization that test clusters use: config/default with the images built from this checkout.
const Overlay = "config/overlays/test"

// Namespace is the operator's.
const Namespace = "pillion-system"

// rolloutTimeout is how long a Deployment of two replicas may take to be there.
const rolloutTimeout = 2 * time.Minute

// Deploy applies an overlay once, as the README says, and waits until pods are injected: the operator is rolled out and
// its default Injector's webhooks are on the API server. On failure the error shows the state it ended in.
func Deploy(ctx context.Context, k Kubectl, overlay string) error {
	if _, err := k.Run(ctx, "apply", "-k", overlay); err != nil {
		return err
	}
	for _, wait := range [][]string{
		{"rollout", "status", "-n", Namespace, "deployment/pillion", "--timeout", rolloutTimeout.String()},
		{"wait", "--for=create", "injector/default", "--timeout", rolloutTimeout.String()},
		{"wait", "--for=condition=WebhooksReady", "injector/default", "--timeout", rolloutTimeout.String()},
	} {
		if _, err := k.Run(ctx, wait...); err != nil {
			return fmt.Errorf("%w\n%s", err, k.state(context.WithoutCancel(ctx)))
		}
	}
	return nil
}

// state is what somebody on call would look at first.
func (k Kubectl) state(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	var text strings.Builder
	for _, args := range [][]string{
		{"get", "pods", "-n", Namespace, "-o", "wide"},
		{"get", "events", "-n", Namespace, "--sort-by=.lastTimestamp"},
		{"get", "injectors", "-o", "yaml"},
		{"logs", "-n", Namespace, "deployment/pillion", "--tail=20", "--all-pods"},
	} {
		out, err := k.Run(ctx, args...)
		if err != nil {
			out += err.Error()
		}
		fmt.Fprintf(&text, "$ kubectl %s\n%s\n", strings.Join(args, " "), out)
	}
	return text.String()
}
