package certmanager

import (
	"context"
	"io"
	"os"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/test/cluster/cluster"
)

// TestMain keeps one cluster for all tests of the package. Where there can't be one, each test says so itself.
func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Minute)
	defer cancel()
	if _, leave, err := cluster.Join(ctx, cluster.Options{Name: "certmanager", APIOnly: true}, io.Discard); err == nil {
		defer func() { _ = leave(context.WithoutCancel(ctx)) }()
	}
	return m.Run()
}
