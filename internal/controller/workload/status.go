package workload

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
)

// fieldManager owns status.pods of Injectors; the rest of a status is the controller's of package injector.
const fieldManager = "pillion-workload"

const (
	writeEvery   = 10 * time.Second
	firstLooks   = 2 * time.Minute // for candidates to be confirmed after a start; until then counts may be too low
	writeTimeout = 5 * time.Second
)

// publish shows the counts: metrics at once, the status at most every writeEvery.
func (c *Controller) publish(ctx context.Context, l *look) error {
	counted := map[string]bool{}
	var faults []error
	for _, inj := range l.injectors {
		t := l.tallies[inj.Name]
		counted[inj.Name] = true
		if t.unknown > 0 && l.now.Sub(c.began) < firstLooks {
			continue
		}
		c.metrics.count(inj.Name, &t.all)
		if pods := t.status(); !equality.Semantic.DeepEqual(inj.Status.Pods, pods) && l.now.Sub(c.written[inj.UID]) >= writeEvery {
			c.written[inj.UID] = l.now
			faults = append(faults, c.write(ctx, inj, pods))
		}
	}
	for name := range c.counted {
		if !counted[name] {
			c.metrics.forget(name)
		}
	}
	c.counted = counted
	return errors.Join(faults...)
}

// write applies status.pods and nothing else, to this very Injector.
func (c *Controller) write(ctx context.Context, inj *v1alpha1.Injector, pods *v1alpha1.PodCounts) error {
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(pods)
	if err != nil {
		return fmt.Errorf("counts of Injector %q: %w", inj.Name, err)
	}
	object := &unstructured.Unstructured{Object: map[string]any{"status": map[string]any{"pods": fields}}}
	object.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("Injector"))
	object.SetName(inj.Name)
	object.SetUID(inj.UID)
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	err = c.Client.Status().Apply(ctx, client.ApplyConfigurationFromUnstructured(object), client.FieldOwner(fieldManager), client.ForceOwnership)
	if err != nil && client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("writing status.pods of Injector %q: %w", inj.Name, err)
	}
	return nil
}
