package degrade

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject"
)

// writeAll writes the configurations that aren't as wanted, and says whether there was one, and whether one waits because
// it couldn't be written lately.
func (c *Controller) writeAll(ctx context.Context, inj *v1alpha1.Injector, configurations []*admissionv1.MutatingWebhookConfiguration, degraded bool) (written, waits bool, err error) {
	var faults []error
	for _, live := range configurations {
		before := c.denied[live.Name]
		switch {
		case Degraded(live) == degraded:
			delete(c.denied, live.Name)
			continue
		case c.Now().Before(before.until):
			waits = true
			continue
		}
		if err := c.write(ctx, inj, live, degraded); err != nil {
			c.denied[live.Name] = before.again(c.Now())
			faults = append(faults, err)
			continue
		}
		delete(c.denied, live.Name)
		written = true
	}
	return written, waits, errors.Join(faults...)
}

// denial is a write that failed: who isn't allowed to write asks less and less often.
type denial struct {
	pause time.Duration
	until time.Time
}

const maxPause = time.Minute

// again begins with a step, which is no pause at all.
func (d denial) again(now time.Time) denial {
	pause := min(max(step, 2*d.pause), maxPause)
	return denial{pause, now.Add(pause)}
}

// write changes failurePolicy of every entry and the annotation, or nothing: the patch fails if the configuration isn't
// any more what it was judged by.
func (c *Controller) write(ctx context.Context, inj *v1alpha1.Injector, live *admissionv1.MutatingWebhookConfiguration, degraded bool) error {
	text, err := json.Marshal(patch(inj, live, degraded))
	if err != nil {
		return fmt.Errorf("encoding a patch of webhook configuration %s: %w", live.Name, err)
	}
	manager := "pillion-injector/" + strings.TrimPrefix(live.Name, inject.ConfigurationPrefix)
	if err := c.Client.Patch(ctx, live.DeepCopy(), client.RawPatch(types.JSONPatchType, text), client.FieldOwner(manager)); err != nil {
		return fmt.Errorf("changing failurePolicy of webhook configuration %s: %w", live.Name, err)
	}
	return nil
}

// operation is one of a JSON Patch (RFC 6902).
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

func patch(inj *v1alpha1.Injector, live *admissionv1.MutatingWebhookConfiguration, degraded bool) []operation {
	policy := inj.Spec.Webhook.FailurePolicy
	if degraded {
		policy = string(admissionv1.Ignore)
	}
	all := []operation{{"test", "/metadata/resourceVersion", live.ResourceVersion}}
	for i := range live.Webhooks {
		all = append(all, operation{"replace", fmt.Sprintf("/webhooks/%d/failurePolicy", i), policy})
	}
	const at = "/metadata/annotations/pillion.dev~1degraded"
	switch {
	case !degraded:
		return append(all, operation{"remove", at, nil})
	case len(live.Annotations) == 0:
		return append(all, operation{"add", "/metadata/annotations", map[string]string{Annotation: "true"}})
	}
	return append(all, operation{"add", at, "true"})
}

// writeStatus keeps the condition Degraded, where the operator that does it otherwise may be dead.
func (c *Controller) writeStatus(ctx context.Context, inj *v1alpha1.Injector, degraded bool) error {
	next := inj.DeepCopy()
	meta.SetStatusCondition(&next.Status.Conditions, Condition(inj, c.Namespace, c.Service, degraded))
	if equality.Semantic.DeepEqual(inj.Status, next.Status) {
		return nil
	}
	err := c.Client.Status().Patch(ctx, next, client.MergeFromWithOptions(inj, client.MergeFromWithOptimisticLock{}))
	if err != nil {
		return fmt.Errorf("writing the condition Degraded of Injector %q: %w", inj.Name, client.IgnoreNotFound(err))
	}
	return nil
}
