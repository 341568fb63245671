package operator

import (
	"testing"

	"github.com/pillion-mesh/pillion/test/cluster/testenv"
	"github.com/pillion-mesh/pillion/test/integration/operatortest"
)

const (
	clusterName = "operator" // these tests change what isn't in a namespace
	configDir   = operatortest.ConfigDir
)

type replica = operatortest.Replica

// Short names for what nearly every test says.
var (
	build       = operatortest.Build
	containsAll = operatortest.ContainsAll
	hasProxy    = operatortest.HasProxy
	must        = operatortest.Must
	names       = operatortest.Names
	pod         = operatortest.Pod
)

// env is a cluster without an operator, and what these tests alone do to it.
type env struct{ *operatortest.Env }

func newEnv(t *testing.T) *env { return newEnvIn(t, clusterName) }

func newEnvIn(t *testing.T, name string) *env {
	t.Helper()
	return &env{operatortest.New(t, operatortest.Options{Cluster: testenv.Options{Name: name}})}
}
