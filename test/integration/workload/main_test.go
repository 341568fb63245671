package workload

import (
	"context"
	"io"
	"os"
	"testing"
	"time"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/pillion-mesh/pillion/internal/cmd/pillion"
	"github.com/pillion-mesh/pillion/test/cluster/cluster"
)

// asOperator makes this binary the command `pillion`.
const asOperator = "PILLION_TEST_RUN_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asOperator) == "1" {
		os.Exit(pillion.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	ctrl.SetLogger(logr.Discard())
	os.Exit(run(m))
}

// run keeps one cluster for all tests of the package. Where there can't be one, each test says so itself.
func run(m *testing.M) int {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Minute)
	defer cancel()
	if _, leave, err := cluster.Join(ctx, cluster.Options{Name: clusterName, APIOnly: true, ControllerManager: true}, io.Discard); err == nil {
		defer func() { _ = leave(context.WithoutCancel(ctx)) }()
	}
	return m.Run()
}
