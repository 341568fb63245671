// Package rotation proves that changes of the serving CA lose no admission, whatever happens in the middle of one: on a
// real kube-apiserver, with operators that are processes of their own, failurePolicy Fail, and a client that creates pods
// all the time.
//
// API servers keep connections, and kept ones hide a leaf that nobody trusts: a wrong order then fails nothing. So each
// operator ends every connection with its answer (operator.Options.KeepAlive), and every creation costs a handshake.
//
// Dwell times are about a sixtieth of production's. Read world_test.go first, then traffic_test.go, which judges, and
// rotation_test.go, the normal course.
package rotation

import (
	"os"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/cmd/pillion/operator"
	"github.com/pillion-mesh/pillion/internal/controller/servingcert/rotation"
	"github.com/pillion-mesh/pillion/internal/version"
	"github.com/pillion-mesh/pillion/test/cluster/cluster"
	"github.com/pillion-mesh/pillion/test/integration/operatortest"
)

const (
	clusterName   = "rotation" // webhook configurations are not in a namespace
	configuration = "pillion-injector-default"
)

// What replicas are told by environment.
const (
	clockEnv   = "PILLION_TEST_CLOCK" // how far the clock is off
	staleEnv   = "PILLION_TEST_STALE" // Times.Stale
	versionEnv = "PILLION_TEST_VERSION"
)

func TestMain(m *testing.M) {
	os.Exit(operatortest.Main(m, operatortest.Setup{Cluster: cluster.Options{Name: clusterName, APIOnly: true}, Configure: configure}))
}

// times are those of production as one another's multiples, as far as a slow machine allows.
func times() rotation.Times {
	return rotation.Times{
		Look: 500 * time.Millisecond, Retry: 100 * time.Millisecond, Settle: 1500 * time.Millisecond, ProbeEvery: 300 * time.Millisecond,
		ProbeOffSettle: 3 * time.Second, Jitter: 500 * time.Millisecond, Retire: 2 * time.Second, Stale: 3 * time.Second, Nap: 3 * time.Second,
		Spare: 10 * time.Minute, Stuck: 30 * time.Minute, Skew: time.Hour, Fast: 500 * time.Millisecond,
	}
}

func configure(o *operator.Options) {
	operatortest.Rotating(o)
	o.Times = times()
	if off, err := time.ParseDuration(os.Getenv(clockEnv)); err == nil {
		o.Now = func() time.Time { return time.Now().Add(off) }
	}
	if stale, err := time.ParseDuration(os.Getenv(staleEnv)); err == nil {
		o.Times.Stale = stale
	}
	if v := os.Getenv(versionEnv); v != "" {
		version.Version = v
	}
}
