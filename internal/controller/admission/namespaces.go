// Package admission tells the webhook what it has to know of the cluster besides the pod: the namespace's labels and what
// it allows its pods, and whether nodes can run native sidecars. In come informers, out go two functions that answer from memory. Read
// namespaces.go, then nodes.go.
package admission

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pillion-mesh/pillion/internal/inject"
)

// liveTimeout bounds the one API call an admission may make.
const liveTimeout = 500 * time.Millisecond

// Namespaces finds a namespace in the metadata informer, and asks the API server for one that is too new for it.
type Namespaces struct {
	Cache client.Reader
	Live  client.Reader
}

// NamespaceObject is what the informer watches: metadata only.
func NamespaceObject() *metav1.PartialObjectMetadata {
	ns := &metav1.PartialObjectMetadata{}
	ns.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	return ns
}

// Namespace returns the labels and annotations of a namespace. With an error only the name is known.
func (n Namespaces) Namespace(ctx context.Context, name string) (inject.Namespace, error) {
	ns := NamespaceObject()
	err := n.Cache.Get(ctx, client.ObjectKey{Name: name}, ns)
	if apierrors.IsNotFound(err) {
		ctx, cancel := context.WithTimeout(ctx, liveTimeout)
		defer cancel()
		ns = NamespaceObject()
		err = n.Live.Get(ctx, client.ObjectKey{Name: name}, ns)
	}
	if err != nil {
		return inject.Namespace{Name: name}, fmt.Errorf("reading namespace %q: %w", name, err)
	}
	return inject.Namespace{Name: name, Labels: ns.Labels, Annotations: ns.Annotations, Allowance: n.allowance(ctx, name)}, nil
}

// allowance is what the informers have: without it a pod is injected all the same, and refused with fewer words. Nobody
// writes to the objects.
func (n Namespaces) allowance(ctx context.Context, namespace string) (a inject.Allowance) {
	var ranges corev1.LimitRangeList
	if err := n.Cache.List(ctx, &ranges, client.InNamespace(namespace), client.UnsafeDisableDeepCopy); err == nil {
		a.Ranges = ranges.Items
	}
	var quotas corev1.ResourceQuotaList
	if err := n.Cache.List(ctx, &quotas, client.InNamespace(namespace), client.UnsafeDisableDeepCopy); err == nil {
		a.Quotas = quotas.Items
	}
	return a
}
