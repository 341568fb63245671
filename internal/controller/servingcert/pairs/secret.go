package pairs

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Role is the operator's in its namespace, as config/rbac names it.
const Role = "pillion-operator"

// Read reads a pair from the API server; live must not be a cache. Its error is a *Refused unless the API server
// couldn't be asked, which says nothing of the pair.
func Read(ctx context.Context, live client.Reader, key client.ObjectKey, names []string, now time.Time) (*Pair, error) {
	origin := "Secret " + key.String()
	secret := &corev1.Secret{}
	err := live.Get(ctx, key, secret)
	switch {
	case err == nil:
		return FromSecret(secret, names, now)
	case apierrors.IsNotFound(err):
		return nil, refuse(Missing, origin, "doesn't exist; it needs the keys %s, %s and %s", KeyCertificate, KeyPrivate, KeyCA)
	case apierrors.IsForbidden(err):
		return nil, refuse(Forbidden, origin, "the operator may not read it; add %q to the resourceNames of Secrets (get, list, watch) in Role %s/%s", key.Name, key.Namespace, Role)
	default:
		return nil, fmt.Errorf("reading %s: %w", origin, err)
	}
}
