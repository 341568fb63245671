package injector

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
)

// Installed is a check of readiness: whether the API server calls us yet. Without it `kubectl rollout status` would end
// before the first webhook is there, and what is deployed next would run without sidecars, with nothing said. What was
// true once isn't asked again: a replica is not to go for what becomes of an Injector later. It waits no longer than
// installPatience: where no webhook or no status can be written, a replica that is never ready helps nobody.
type Installed struct {
	Live      client.Reader                           // an informer may not have seen yet what was just made
	Made      func(ctx context.Context) (bool, error) // whether the default Injector was made or found; nil: none will be
	Revisions Revisions
	Now       func() time.Time
	Log       logr.Logger
	once      atomic.Bool
	asked     atomic.Pointer[time.Time] // when it was first
}

// installPatience is long enough for a leader's first round, a dead one's Lease included.
const installPatience = time.Minute

// Ready implements the check.
func (i *Installed) Ready(ctx context.Context) error {
	if i.once.Load() {
		return nil
	}
	now := i.Now()
	i.asked.CompareAndSwap(nil, &now)
	err := i.find(ctx)
	if err != nil && now.Sub(*i.asked.Load()) < installPatience {
		return err
	}
	if !i.once.Swap(true) && err != nil {
		i.Log.Error(err, "webhooks aren't installed; this replica gets ready all the same", "waited", installPatience)
	}
	return nil
}

// find says what is still missing.
func (i *Installed) find(ctx context.Context) error {
	made, err := i.made(ctx) // before the list: what was made by now is in it
	if err != nil {
		return err
	}
	var list v1alpha1.InjectorList
	if err := i.Live.List(ctx, &list); err != nil {
		return fmt.Errorf("listing Injectors: %w", err)
	}
	if len(list.Items) == 0 && !made {
		return fmt.Errorf("the Injector %q isn't made yet", v1alpha1.NameDefault)
	}
	for n := range list.Items {
		if i.Revisions.Serves(&list.Items[n]) && !settled(list.Items[n].Status.Conditions) {
			return fmt.Errorf("the webhooks of Injector %q aren't written yet", list.Items[n].Name)
		}
	}
	return nil
}

func (i *Installed) made(ctx context.Context) (bool, error) {
	if i.Made == nil {
		return true, nil
	}
	return i.Made(ctx)
}

// settled says whether the leader has done for an Injector what it can: what doesn't compile has no webhooks to wait for,
// nor has what it isn't allowed to write.
func settled(conditions []metav1.Condition) bool {
	webhooks := meta.FindStatusCondition(conditions, v1alpha1.ConditionWebhooksReady)
	switch {
	case webhooks == nil:
		return false
	case webhooks.Reason != reasonPending:
		return true
	}
	return meta.IsStatusConditionFalse(conditions, v1alpha1.ConditionAccepted) ||
		meta.IsStatusConditionFalse(conditions, v1alpha1.ConditionTemplatesReady)
}
