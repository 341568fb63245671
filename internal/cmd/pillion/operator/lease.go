package operator

import (
	"context"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// Times of leader election: a dead leader is replaced within leaseDuration, one that ends by itself at once.
const (
	leaseDuration = 15 * time.Second
	renewDeadline = 10 * time.Second
	retryPeriod   = 2 * time.Second
)

// unsure is how long after its last renewal a leader still acts as one. The election itself gives up after renewDeadline
// only, even if it sees somebody else's name in the Lease: time in which a process that was stopped would believe that
// it leads.
const unsure = 2*retryPeriod + time.Second

// lease is the one replicas compete for. It knows when this replica renewed it last.
type lease struct {
	resourcelock.Interface
	now     func() time.Time
	renewed atomic.Pointer[time.Time]
}

// newLease is held in this replica's name. The rest makes a restarted container another candidate than the one that died.
func newLease(o Options, config *rest.Config) (*lease, error) {
	identity := resourcelock.ResourceLockConfig{Identity: o.PodName + "_" + string(uuid.NewUUID())}
	lock, err := resourcelock.NewFromKubeconfig(resourcelock.LeasesResourceLock, o.Namespace, o.Lease, identity, config, renewDeadline)
	return &lease{Interface: lock, now: o.Now}, err
}

// Create makes the Lease, as resourcelock.Interface says.
func (l *lease) Create(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	return l.note(record, func() error { return l.Interface.Create(ctx, record) })
}

// Update renews or releases it.
func (l *lease) Update(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	return l.note(record, func() error { return l.Interface.Update(ctx, record) })
}

func (l *lease) note(record resourcelock.LeaderElectionRecord, write func() error) error {
	began := l.now()
	err := write()
	switch {
	case err != nil:
	case record.HolderIdentity == l.Identity():
		l.renewed.Store(&began)
	default:
		l.renewed.Store(nil)
	}
	return err
}

// held says that this replica renewed it not long ago, by the clock and by the time this process ran.
func (l *lease) held() bool {
	last, now := l.renewed.Load(), l.now()
	return last != nil && max(now.Sub(*last), now.Round(0).Sub(last.Round(0))) <= unsure
}
