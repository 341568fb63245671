// Package operator tests `pillion operator` against a real kube-apiserver: what it makes of Injectors, repairs, drains
// and may do. Read operatortest first, which runs it.
package operator

import (
	"os"
	"testing"

	"github.com/pillion-mesh/pillion/test/cluster/cluster"
	"github.com/pillion-mesh/pillion/test/integration/operatortest"
)

func TestMain(m *testing.M) {
	os.Exit(operatortest.Main(m, operatortest.Setup{Cluster: cluster.Options{Name: clusterName, APIOnly: true}}))
}
