package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
)

// Identity names what belongs to one operator.
type Identity struct {
	Namespace string
	Service   string
	Lease     string
}

// Certificates are what an operator serves, what API servers trust, and whether both fit.
type Certificates struct {
	APIVersion string                       `json:"apiVersion"`
	Kind       string                       `json:"kind"`
	Service    string                       `json:"service"`            // namespace/name
	Injector   string                       `json:"injector,omitempty"` // whose status it is
	Status     *v1alpha1.CertificatesStatus `json:"status,omitempty"`
	Asked      string                       `json:"asked,omitempty"` // a rotation that was asked for and hasn't begun: true or compromised
	Leader     *Leader                      `json:"leader,omitempty"`
	Bundles    []BundleRow                  `json:"bundles"`
	Problems   []string                     `json:"problems,omitempty"`
	Notes      []string                     `json:"notes,omitempty"`

	now time.Time
}

// Leader is the replica that holds the Lease: it keeps bundles and status up to date.
type Leader struct {
	Name    string       `json:"name,omitempty"`
	Renewed *metav1.Time `json:"renewed,omitempty"`
	Alive   bool         `json:"alive"`
}

// ReadCertificates reads what there is permission for; a note says what is missing. It reads no key: of the Secret it
// asks for metadata alone.
func ReadCertificates(ctx context.Context, c client.Reader, id Identity, now time.Time) (*Certificates, error) {
	all := &Certificates{APIVersion: APIVersion, Kind: "Certificates", Service: id.Namespace + "/" + id.Service, now: now}
	entries, err := all.readEntries(ctx, c, id)
	if err != nil {
		return nil, err
	}
	if err := all.readInjectors(ctx, c, entries); err != nil {
		return nil, err
	}
	if err := all.readLeader(ctx, c, id); err != nil {
		return nil, err
	}
	if err := all.readSecret(ctx, c, id); err != nil {
		return nil, err
	}
	all.Bundles = bundles(entries, all.Status, now)
	all.judge()
	return all, nil
}

// allowed turns a refusal into a note; other errors stay.
func (all *Certificates) allowed(err error, what, permission string) (read bool, _ error) {
	switch {
	case err == nil:
		return true, nil
	case apierrors.IsForbidden(err):
		all.Notes = append(all.Notes, fmt.Sprintf("not shown: %s; you lack the permission to %s", what, permission))
		return false, nil
	}
	return false, failed("reading "+what, err)
}

// readInjectors takes the status of the oldest Injector that the entries belong to: all of one operator show the same.
func (all *Certificates) readInjectors(ctx context.Context, c client.Reader, entries []bundleEntry) error {
	var list v1alpha1.InjectorList
	err := c.List(ctx, &list)
	if meta.IsNoMatchError(err) || apierrors.IsNotFound(err) {
		return &Failure{What: "listing injectors", Why: fmt.Errorf("this cluster has no Injector resource: Pillion isn't installed"), Try: []string{"kubectl apply -k config/default"}}
	}
	if read, err := all.allowed(err, "source, phase and replicas", "list injectors.pillion.dev"); !read {
		return err
	}
	ours := injectorsOf(entries)
	slices.SortFunc(list.Items, func(a, b v1alpha1.Injector) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	for i := range list.Items {
		inj := &list.Items[i]
		if len(ours) > 0 && !ours[inj.Name] {
			continue // another operator's
		}
		if all.Status == nil && inj.Status.Certificates != nil {
			all.Injector, all.Status = inj.Name, inj.Status.Certificates
		}
		if ready := meta.FindStatusCondition(inj.Status.Conditions, v1alpha1.ConditionCertificatesReady); ready != nil && ready.Status == metav1.ConditionFalse {
			all.Problems = append(all.Problems, fmt.Sprintf("Injector %s: %s: %s", inj.Name, ready.Reason, ready.Message))
		}
	}
	return nil
}

// injectorsOf are the Injectors whose webhook configurations lead to this operator.
func injectorsOf(entries []bundleEntry) map[string]bool {
	names := map[string]bool{}
	for _, e := range entries {
		if e.injector != "" {
			names[e.injector] = true
		}
	}
	return names
}

func (all *Certificates) readLeader(ctx context.Context, c client.Reader, id Identity) error {
	lease := &coordinationv1.Lease{}
	err := c.Get(ctx, client.ObjectKey{Namespace: id.Namespace, Name: id.Lease}, lease)
	if apierrors.IsNotFound(err) {
		all.Leader = &Leader{}
		return nil
	}
	if read, err := all.allowed(err, "the leader", fmt.Sprintf("get leases.coordination.k8s.io %s in namespace %s", id.Lease, id.Namespace)); !read {
		return err
	}
	all.Leader = leader(lease, all.now)
	return nil
}

// leader is alive while it renews its Lease in time; a minute's grace is for the clock here.
func leader(lease *coordinationv1.Lease, now time.Time) *Leader {
	l := &Leader{}
	if lease.Spec.HolderIdentity != nil {
		l.Name = *lease.Spec.HolderIdentity
	}
	if lease.Spec.RenewTime != nil {
		l.Renewed = &metav1.Time{Time: lease.Spec.RenewTime.Time}
		l.Alive = l.Name != "" && now.Sub(l.Renewed.Time) < time.Minute
	}
	return l
}

// readSecret sees a rotation that was asked for and hasn't begun.
func (all *Certificates) readSecret(ctx context.Context, c client.Reader, id Identity) error {
	name := v1alpha1.ServingCASecret(id.Service)
	secret, err := secretMetadata(ctx, c, id)
	if apierrors.IsNotFound(err) {
		return nil // none is needed for certificates of others
	}
	if read, err := all.allowed(err, "whether a rotation was asked for", fmt.Sprintf("get secrets %s in namespace %s", name, id.Namespace)); !read {
		return err
	}
	all.Asked = secret.Annotations[v1alpha1.AnnotationRotate]
	return nil
}

// secretMetadata reads the Secret with the CA without what is in it.
func secretMetadata(ctx context.Context, c client.Reader, id Identity) (*metav1.PartialObjectMetadata, error) {
	secret := &metav1.PartialObjectMetadata{}
	secret.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
	err := c.Get(ctx, client.ObjectKey{Namespace: id.Namespace, Name: v1alpha1.ServingCASecret(id.Service)}, secret)
	return secret, err
}

// judge says what is wrong beyond what conditions say.
func (all *Certificates) judge() {
	for _, b := range all.Bundles {
		if b.State == stateMissing {
			all.Problems = append(all.Problems, fmt.Sprintf("%s doesn't trust CA %s, which is served: the API server refuses what goes through it", b.Webhook, short(b.CA)))
		} else if b.CA == "" {
			all.Problems = append(all.Problems, fmt.Sprintf("%s: %s", b.Webhook, b.State))
		}
	}
	if all.Status != nil {
		for _, r := range all.Status.Replicas {
			state := replicaState(&r, all.Status, all.now)
			if r.Fault != "" || state == stateExpired && all.Leader != nil && all.Leader.Alive { // else it isn't news of now
				all.Problems = append(all.Problems, fmt.Sprintf("replica %s: %s", r.Name, state))
			}
		}
	}
	if all.Leader != nil && !all.Leader.Alive {
		all.Problems = append(all.Problems, "no replica leads: nobody keeps bundles and this status up to date")
	}
}
