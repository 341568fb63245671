// Package operatortest runs `pillion operator` for tests, as a user's cluster would, on a real kube-apiserver. Each
// replica is a process of its own, so signals, Leases and TLS are the real thing: the test binary runs itself again as
// the operator. In place of a Service stands a relay that follows readiness as kube-proxy would (service.go).
//
// A test package calls Main in its TestMain and New in each test; read env.go next. What can happen to a replica is in
// signals.go, a client that goes on making pods meanwhile in creations.go.
package operatortest

import (
	"context"
	"io"
	"os"
	"testing"
	"time"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/pillion-mesh/pillion/internal/cmd/pillion"
	"github.com/pillion-mesh/pillion/internal/cmd/pillion/operator"
	"github.com/pillion-mesh/pillion/test/cluster/cluster"
)

// asOperator makes the test binary the command `pillion`.
const asOperator = "PILLION_TEST_RUN_COMMAND"

// Setup is what a test package says of itself.
type Setup struct {
	Cluster cluster.Options // the one its tests use most: it is kept until the last has ended
	// Configure sets what has no flag, or what a flag wouldn't take, in each process of an operator, after its flags were
	// read. What differs between replicas comes in as environment (Process.Env). May be nil.
	Configure func(*operator.Options)
}

// Main is TestMain without the exit: `os.Exit(operatortest.Main(m, setup))`.
func Main(m *testing.M, s Setup) int {
	if os.Getenv(asOperator) == "1" {
		return pillion.Operator(os.Args[1:], os.Stderr, s.Configure)
	}
	ctrl.SetLogger(logr.Discard()) // of controllers that a test runs itself
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Minute)
	defer cancel()
	// Where there can't be a cluster, each test says so itself.
	if _, leave, err := cluster.Join(ctx, s.Cluster, io.Discard); err == nil {
		defer func() { _ = leave(context.WithoutCancel(ctx)) }()
	}
	return m.Run()
}
