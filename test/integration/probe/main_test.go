// Package probe tests the probe of serving certificates on a real kube-apiserver: what it says when it trusts us and when
// it doesn't, when we are late or gone. The webhook server is in the test's process and shows two leaves: the normal one
// to who comes by address, the candidate to who asks for localhost. Read world_test.go first.
package probe

import (
	"context"
	"io"
	"os"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/test/cluster/cluster"
)

const clusterName = "probe" // webhook configurations aren't in a namespace

func TestMain(m *testing.M) { os.Exit(run(m)) }

// run keeps one cluster for all tests of the package. Where there can't be one, each test says so itself.
func run(m *testing.M) int {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Minute)
	defer cancel()
	if _, leave, err := cluster.Join(ctx, cluster.Options{Name: clusterName, APIOnly: true}, io.Discard); err == nil {
		defer func() { _ = leave(context.WithoutCancel(ctx)) }()
	}
	return m.Run()
}
