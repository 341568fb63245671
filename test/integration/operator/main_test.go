// Package operator tests `pillion operator` against a real kube-apiserver. Each replica is a process of its own, so
// signals, Leases and TLS are the real thing: the test binary runs itself again as the operator. In place of a Service
// stands a relay that follows readiness as kube-proxy would (service_test.go). Read env_test.go first.
package operator

import (
	"context"
	"io"
	"os"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/cmd/pillion"
	"github.com/pillion-mesh/pillion/test/cluster/cluster"
)

// asOperator makes this binary the command `pillion`.
const asOperator = "PILLION_TEST_RUN_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asOperator) == "1" {
		os.Exit(pillion.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(run(m))
}

// run keeps one cluster for all tests of the package. Where there can't be one, each test says so itself.
func run(m *testing.M) int {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Minute)
	defer cancel()
	if _, leave, err := cluster.Join(ctx, cluster.Options{Name: clusterName, APIOnly: true}, io.Discard); err == nil {
		defer func() { _ = leave(context.WithoutCancel(ctx)) }()
	}
	return m.Run()
}
