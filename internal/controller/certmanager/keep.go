package certmanager

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Keep makes the objects what they have to be, writing only those that differ, and says what cert-manager makes of them.
// The error is for what may pass by itself, such as an API server that doesn't answer; what a user has to see to is in
// the state. One replica at a time should call it.
//
// Objects are read as unstructured, which the clients of managers don't take from their caches: an informer for a kind
// that may not exist would never start. cert-manager may come and go while we run; the client's mapper asks anew for a
// kind that it doesn't know.
func Keep(ctx context.Context, c client.Client, w Want) (State, error) {
	objects, err := w.objects()
	if err != nil {
		return State{}, fmt.Errorf("rendering what cert-manager is asked for: %w", err)
	}
	var certificates []*unstructured.Unstructured
	for _, want := range objects {
		live, err := keep(ctx, c, want)
		if err != nil {
			return w.explain(want, err)
		}
		if live.GetKind() == "Certificate" {
			certificates = append(certificates, live)
		}
	}
	return w.judge(ctx, c, certificates)
}

// errNotOurs is an object of our name without our label.
var errNotOurs = errors.New("it has no label " + LabelService)

// errNoKind is an API server without cert-manager's CRDs.
var errNoKind = errors.New("no such kind")

// keep returns the object as it is after.
func keep(ctx context.Context, c client.Client, want *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	live, err := get(ctx, c, want)
	if err != nil {
		return nil, err
	}
	if live != nil && !ours(live, want) {
		return nil, errNotOurs
	}
	if live != nil && covers(live.Object, want.Object) {
		return live, nil
	}
	made := want.DeepCopy()
	err = c.Apply(ctx, client.ApplyConfigurationFromUnstructured(made), client.FieldOwner(FieldManager), client.ForceOwnership)
	if unknown(err) {
		return nil, errNoKind
	}
	return made, err
}

func ours(live, want *unstructured.Unstructured) bool {
	return live.GetLabels()[LabelService] == want.GetLabels()[LabelService]
}

// get returns nil where there is no such object.
func get(ctx context.Context, c client.Reader, want *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(want.GroupVersionKind())
	err := c.Get(ctx, client.ObjectKeyFromObject(want), live)
	switch {
	case err == nil:
		return live, nil
	case meta.IsNoMatchError(err):
		return nil, errNoKind
	case apierrors.IsNotFound(err):
		return nil, nil
	}
	return nil, err
}

// unknown says that an apply, which makes what isn't there, failed for want of the kind: not known to the client, or
// once known and since removed.
func unknown(err error) bool {
	var status apierrors.APIStatus
	if apierrors.IsNotFound(err) && errors.As(err, &status) {
		details := status.Status().Details
		return details == nil || details.Kind != "namespaces"
	}
	return meta.IsNoMatchError(err)
}

// covers says that live has all that want has. Others may add to it.
func covers(live, want any) bool {
	switch want := want.(type) {
	case map[string]any:
		have, ok := live.(map[string]any)
		for key, value := range want {
			ok = ok && covers(have[key], value)
		}
		return ok
	case []any:
		have, ok := live.([]any)
		if !ok || len(have) != len(want) {
			return false
		}
		for i := range want {
			ok = ok && covers(have[i], want[i])
		}
		return ok
	}
	return live == want
}

// Remove deletes what Keep made for a Service and needed, which may be nil, doesn't ask for: all of it once no replica
// serves the pair any more, or the CA of our own once an issuer of the user's has taken over. Objects that aren't ours
// stay, and so do the Secrets: cert-manager leaves them, and whoever comes back to this mode keeps the CA.
func Remove(ctx context.Context, c client.Client, namespace, service string, needed *Want) error {
	all, err := (Want{Namespace: namespace, Service: service}).objects()
	if err != nil {
		return err
	}
	keep := map[string]bool{}
	if needed != nil {
		objects, err := needed.objects()
		if err != nil {
			return err
		}
		for _, object := range objects {
			keep[title(object)] = true
		}
	}
	var faults []error
	for _, object := range all {
		if !keep[title(object)] {
			faults = append(faults, remove(ctx, c, object))
		}
	}
	return errors.Join(faults...)
}

func remove(ctx context.Context, c client.Client, object *unstructured.Unstructured) error {
	live, err := get(ctx, c, object)
	if errors.Is(err, errNoKind) || err == nil && (live == nil || !ours(live, object)) {
		return nil
	}
	if err == nil {
		// By uid: somebody may just have put one of his own there.
		err = client.IgnoreNotFound(c.Delete(ctx, live, client.Preconditions{UID: new(live.GetUID())}, client.PropagationPolicy(metav1.DeletePropagationBackground)))
	}
	if err != nil {
		return fmt.Errorf("deleting %s: %w", title(object), err)
	}
	return nil
}
