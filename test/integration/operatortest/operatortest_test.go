package operatortest

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pillion-mesh/pillion/internal/cmd/pillion/operator"
	"github.com/pillion-mesh/pillion/test/cluster/cluster"
	"github.com/pillion-mesh/pillion/test/cluster/testenv"
)

const leaseEnv = "PILLION_TEST_LEASE_OF_REPLICA"

func TestMain(m *testing.M) {
	os.Exit(Main(m, Setup{Cluster: cluster.Options{Name: "operatortest", APIOnly: true}, Configure: func(o *operator.Options) {
		if lease := os.Getenv(leaseEnv); lease != "" {
			o.Lease = lease
		}
	}}))
}

func TestConfigureReachesTheWorkerOfAReplica(t *testing.T) {
	e := New(t, Options{Cluster: testenv.Options{Name: "operatortest"}})
	a, b := e.Start("a"), e.Run(Process{Name: "b", Env: []string{leaseEnv + "=of-b"}})
	e.Ready(a, b)
	for name, r := range map[string]*Replica{"pillion": a, "of-b": b} {
		lease := client.ObjectKey{Namespace: e.Namespace, Name: name}
		e.Eventually(r.Name+" leads by itself", func() error { return e.Leads(lease, r) })
	}
}

func TestPausedReplicasAreSilentUntilTheyResume(t *testing.T) {
	e := New(t, Options{Cluster: testenv.Options{Name: "operatortest"}})
	r := e.Start("a")
	e.Ready(r)
	for what, act := range map[string]struct{ pause, resume func() }{
		"the replica": {r.Pause, r.Resume},
		"its worker":  {func() { r.PauseWorker(t) }, func() { r.ResumeWorker(t) }},
	} {
		act.pause()
		e.Eventually(what+" is paused", func() error { return silent(e.Ctx(), r) })
		act.resume()
		e.Ready(r)
	}
}

// silent is nil if a replica accepts connections and says nothing.
func silent(ctx context.Context, r *Replica) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if err := r.Get(ctx, "/healthz"); !errors.Is(err, context.DeadlineExceeded) {
		return errors.Join(errors.New("it answers"), err)
	}
	return nil
}
